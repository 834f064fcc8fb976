import { find, showText } from "../browser/dom.js";
import { hasVisibleText } from "./visible_text.js";

/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Control */

// The API's limit, in characters. A `maxlength` would count an emoji twice, and cut a paste silently.
const MAX_PROMPT = 4096;
/** @type {Record<string, string>} where errors of fields that the form does not have are shown */
const SHOWN_AT = { width: "size", height: "size", seconds: "num_frames" };

/** The fields that are not choices of buttons, named as in the API, and their errors. */
export class Fields {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    this.form.addEventListener("input", ({ target }) => {
      const field = target instanceof Element ? target.closest(".field") : null;
      if (field?.id) this.mark(field.id.replace(/-field$/, ""), "");
    });
  }

  /** @param {string} name @returns {Control} */
  get(name) {
    return /** @type {Control} */ (find(this.form, `#${name}`, HTMLElement));
  }

  /** @returns {Control[]} */
  get all() {
    return Array.from(this.form.querySelectorAll("textarea[name], input[name]:not([type=radio]), select[name]"));
  }

  /** The fields that are filled in. @returns {Record<string, string | number>} */
  read() {
    /** @type {Record<string, string | number>} */
    const filled = {};
    for (const control of this.all) {
      const text = control.value.trim();
      if (text === "") continue;
      filled[control.name] = control instanceof HTMLInputElement ? Number(text) : text;
    }
    return filled;
  }

  /** Show the errors of all fields. @returns {boolean} whether there are none */
  validate() {
    this.clear();
    if (!hasVisibleText(this.get("prompt").value)) this.mark("prompt", "Enter a prompt.");
    for (const control of this.all) {
      const length = [...control.value.trim()].length;
      if (length > MAX_PROMPT) {
        this.mark(control.name, `${length} characters; the limit is ${MAX_PROMPT}.`);
      } else if (control instanceof HTMLInputElement && !control.validity.valid) {
        this.mark(control.name, control.validationMessage);
      }
    }
    return this.focusFirstError();
  }

  /**
   * Show the error of a field, or clear it.
   *
   * @param {string | null} name
   * @param {string} message "" clears it
   * @returns {boolean} whether the form has a place for it
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

  /** @returns {boolean} whether there are no errors */
  focusFirstError() {
    const invalid = this.form.querySelector("[aria-invalid=true]");
    if (!invalid) return true;
    const details = invalid.closest("details");
    if (details) details.open = true;
    const control = invalid.matches("fieldset") ? invalid.querySelector("input:checked, input") : invalid;
    if (control instanceof HTMLElement) control.focus();
    // The message is below the control, and the focus scrolls only to that.
    find(this.form, `#${invalid.id}-error`, HTMLElement).scrollIntoView({ block: "nearest" });
    return false;
  }
}
