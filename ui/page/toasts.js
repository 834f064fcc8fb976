import { copyOf, find, setText } from "../browser/dom.js";

// Enough to read two lines and reach the button; paused while the pointer or the focus is on it.
const SHOWN_MS = 7_000;
const MAX_TOASTS = 3;

/**
 * @typedef {object} ToastAction
 * @property {string} label of the button
 * @property {() => void} onChosen
 * @property {() => void} [onDismissed] the toast closed without its button being pressed
 */

/** Short messages at the edge of the page, which close by themselves. */
export class Toasts {
  /** @type {Toast[]} */
  #shown = [];

  constructor() {
    this.list = find(document, "#toasts", HTMLElement);
  }

  /** @param {string} text @param {ToastAction} [action] */
  show(text, action) {
    const toast = new Toast(text, action, () => {
      this.#shown = this.#shown.filter((other) => other !== toast);
    });
    this.#shown.push(toast);
    if (this.#shown.length > MAX_TOASTS) this.#shown[0]?.close();
    this.list.append(toast.element);
  }
}

class Toast {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} text @param {ToastAction | undefined} action @param {() => void} onClose */
  constructor(text, action, onClose) {
    this.element = copyOf("#toast", HTMLLIElement);
    this.action = action;
    this.onClose = onClose;
    setText(find(this.element, "p", HTMLElement), text);
    const button = find(this.element, "[data-part=action]", HTMLButtonElement);
    button.hidden = !action;
    setText(button, action?.label ?? "");
    button.addEventListener("click", () => this.close(action?.onChosen));
    find(this.element, "[data-part=close]", HTMLButtonElement)
      .addEventListener("click", () => this.close());
    for (const type of ["pointerenter", "focusin"]) {
      this.element.addEventListener(type, () => clearTimeout(this.#timer));
    }
    for (const type of ["pointerleave", "focusout"]) {
      this.element.addEventListener(type, () => this.#startTimer());
    }
    this.#startTimer();
  }

  #startTimer() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), SHOWN_MS);
  }

  /** @param {() => void} [callback] */
  close(callback = this.action?.onDismissed) {
    if (!this.element.isConnected) return;
    clearTimeout(this.#timer);
    this.element.remove();
    this.onClose();
    callback?.();
  }
}
