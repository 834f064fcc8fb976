import { find, showText } from "../browser/dom.js";

/** @typedef {HTMLInputElement | HTMLTextAreaElement} Control */

// The API's limit, in characters (a `maxlength` would count an emoji twice and cut a paste unseen).
const MAX_PROMPT = 4096;
/** @type {Record<string, string>} where a complaint about a field that the form lacks is shown */
const SHOWN_AT = { width: "size", height: "size", seconds: "num_frames" };

/** The fields that are written into, named as in the API, and what is wrong with them. */
export class Fields {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    this.form.addEventListener("input", ({ target }) => {
      const field = target instanceof Element ? target.closest(".field") : null;
      if (field?.id) this.#markBox(field.id, "");
    });
  }

  /** @param {string} name @returns {Control} */
  get(name) {
    return /** @type {Control} */ (find(this.form, `#${name}`, HTMLElement));
  }

  /** @returns {Control[]} */
  get all() {
    return Array.from(this.form.querySelectorAll("textarea[name], input[name]:not([type=radio])"));
  }

  /** What is filled in. @returns {Record<string, string | number>} */
  read() {
    /** @type {Record<string, string | number>} */
    const filled = {};
    for (const control of this.all) {
      const text = control.value.trim();
      if (text === "") continue;
      filled[control.name] = control instanceof HTMLTextAreaElement ? text : Number(text);
    }
    return filled;
  }

  /** @returns {boolean} whether all can be sent; marks those that can't */
  check() {
    this.clear();
    if (!this.get("prompt").value.trim()) this.mark("prompt", "Write what the video should show.");
    for (const control of this.all) {
      const length = [...control.value.trim()].length;
      if (length > MAX_PROMPT) {
        this.mark(control.name, `${length} characters; at most ${MAX_PROMPT} fit.`);
      } else if (control instanceof HTMLInputElement && !control.validity.valid) {
        this.mark(control.name, control.validationMessage);
      }
    }
    return this.focusFirstError();
  }

  /**
   * Show what is wrong with a field of the API.
   *
   * @param {string | null} name
   * @param {string} message
   * @returns {boolean} whether there is a place for it
   */
  mark(name, message) {
    const shown = SHOWN_AT[name ?? ""] ?? name ?? "";
    if (!this.form.querySelector(`#${CSS.escape(shown)}-error`)) return false;
    const control = this.form.querySelector(`#${CSS.escape(shown)}`);
    if (control) control.ariaInvalid = message ? "true" : null;
    showText(find(this.form, `#${CSS.escape(shown)}-error`, HTMLElement), message);
    return true;
  }

  clear() {
    for (const error of this.form.querySelectorAll(".field-error")) {
      this.mark(error.id.replace(/-error$/, ""), "");
    }
  }

  /** @returns {boolean} whether there was none */
  focusFirstError() {
    const wrong = this.form.querySelector("[aria-invalid=true]");
    if (!wrong) return true;
    for (let box = wrong.closest("details"); box; box = null) box.open = true;
    const control = wrong.matches("fieldset") ? wrong.querySelector("input:checked, input") : wrong;
    if (control instanceof HTMLElement) control.focus();
    return false;
  }

  /** @param {string} box of a field @param {string} message */
  #markBox(box, message) {
    this.mark(box.replace(/-field$/, ""), message);
  }
}
