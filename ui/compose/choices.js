import { copyOf, find, setText } from "../browser/dom.js";

/**
 * @typedef {object} Choice
 * @property {string} value
 * @property {string} label
 */

/** A group of radio buttons, each with its cost. */
export class Choices {
  /** @type {Map<string, {input: HTMLInputElement, label: HTMLElement, cost: HTMLElement}>} */
  #options = new Map();

  /** @param {string} name of the field in the API, and id of the fieldset */
  constructor(name) {
    this.name = name;
    this.box = find(document, `#${name} .choices`, HTMLElement);
  }

  get value() {
    return [...this.#options.values()].find(({ input }) => input.checked)?.input.value ?? "";
  }

  /** Select a value, and add it if it is not offered: the API accepts others too. @param {Choice} choice */
  choose(choice) {
    const { input } = this.#options.get(choice.value) ?? this.#add(choice);
    input.checked = true;
  }

  /** Replace the values, keeping the selected one if it is among the new ones. @param {Choice[]} choices */
  offer(choices) {
    const chosen = this.value;
    this.#options.clear();
    this.box.replaceChildren();
    for (const choice of choices) this.#add(choice);
    const kept = this.#options.get(chosen);
    if (kept) kept.input.checked = true;
  }

  /** @param {(value: string) => string} cost */
  showCosts(cost) {
    for (const [value, option] of this.#options) setText(option.cost, cost(value));
  }

  /** @param {Choice} choice */
  #add({ value, label }) {
    const element = copyOf("#choice", HTMLLabelElement);
    const option = {
      input: find(element, "input", HTMLInputElement),
      label: find(element, "[data-part=label]", HTMLElement),
      cost: find(element, "[data-part=cost]", HTMLElement),
    };
    option.input.name = this.name;
    option.input.value = value;
    setText(option.label, label);
    this.box.append(element);
    this.#options.set(value, option);
    return option;
  }
}
