import { copyOf, find, setText } from "../browser/dom.js";

// Time enough to read two lines and reach for the button; it stands still while one is on it.
const SHOWN_MS = 7_000;
const MOST = 3;

/**
 * @typedef {object} Choice
 * @property {string} label of the button
 * @property {() => void} chosen
 * @property {() => void} [over] it was not chosen
 */

/** Short notices at the edge of the page, which go away by themselves. */
export class Toasts {
  /** @type {Toast[]} */
  #shown = [];

  constructor() {
    this.list = find(document, "#toasts", HTMLElement);
  }

  /** @param {string} text @param {Choice} [choice] */
  show(text, choice) {
    const toast = new Toast(text, choice, () => {
      this.#shown = this.#shown.filter((other) => other !== toast);
    });
    this.#shown.push(toast);
    if (this.#shown.length > MOST) this.#shown[0]?.close();
    this.list.append(toast.element);
  }
}

class Toast {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} text @param {Choice | undefined} choice @param {() => void} onClose */
  constructor(text, choice, onClose) {
    this.element = copyOf("#toast", HTMLLIElement);
    this.choice = choice;
    this.onClose = onClose;
    setText(find(this.element, "p", HTMLElement), text);
    const button = find(this.element, "[data-part=choice]", HTMLButtonElement);
    button.hidden = !choice;
    setText(button, choice?.label ?? "");
    button.addEventListener("click", () => this.close(choice?.chosen));
    find(this.element, "[data-part=close]", HTMLButtonElement)
      .addEventListener("click", () => this.close());
    for (const type of ["pointerenter", "focusin"]) {
      this.element.addEventListener(type, () => clearTimeout(this.#timer));
    }
    for (const type of ["pointerleave", "focusout"]) {
      this.element.addEventListener(type, () => this.#wait());
    }
    this.#wait();
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), SHOWN_MS);
  }

  /** @param {() => void} [outcome] what happens now; else that it is over */
  close(outcome = this.choice?.over) {
    if (!this.element.isConnected) return;
    clearTimeout(this.#timer);
    this.element.remove();
    this.onClose();
    outcome?.();
  }
}
