import { copyOf, find, setText } from "../browser/dom.js";

/**
 * @typedef {object} Choice
 * @property {string} value
 * @property {string} label
 */

/** One of several values, each a radio button with its cost below. */
export class Choices {
  /** @type {Map<string, {input: HTMLInputElement, label: HTMLElement, cost: HTMLElement}>} */
  #made = new Map();

  /** @param {string} name of the fieldset's id, and of the field in the API */
  constructor(name) {
    this.name = name;
    this.box = find(document, `#${name} .choices`, HTMLElement);
  }

  get value() {
    return [...this.#made.values()].find(({ input }) => input.checked)?.input.value ?? "";
  }

  /** Select a value; the API takes more than is offered, so it may be a new one. @param {Choice} choice */
  choose(choice) {
    const { input } = this.#made.get(choice.value) ?? this.#add(choice);
    input.checked = true;
  }

  /** Offer other values; keep the chosen one if it is among them. @param {Choice[]} choices */
  offer(choices) {
    const chosen = this.value;
    this.#made.clear();
    this.box.replaceChildren();
    for (const choice of choices) this.#add(choice);
    const kept = this.#made.get(chosen);
    if (kept) kept.input.checked = true;
  }

  /** @param {(value: string) => string} label */
  relabel(label) {
    for (const [value, made] of this.#made) setText(made.label, label(value));
  }

  /** @param {(value: string) => string} cost */
  price(cost) {
    for (const [value, made] of this.#made) setText(made.cost, cost(value));
  }

  /** @param {Choice} choice */
  #add({ value, label }) {
    const element = copyOf("#choice", HTMLLabelElement);
    const made = {
      input: find(element, "input", HTMLInputElement),
      label: find(element, "[data-part=label]", HTMLElement),
      cost: find(element, "[data-part=cost]", HTMLElement),
    };
    made.input.name = this.name;
    made.input.value = value;
    setText(made.label, label);
    this.box.append(element);
    this.#made.set(value, made);
    return made;
  }
}
