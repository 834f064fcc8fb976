import { find, showText } from "../browser/dom.js";
import { ApiError } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */

/** The dialog that asks for an API key where the server requires one, and the button to sign out. */
export class SignIn {
  /**
   * @param {Api} api
   * @param {() => void} onRejected called before the dialog shows
   */
  constructor(api, onRejected) {
    this.api = api;
    this.onRejected = onRejected;
    this.dialog = find(document, "#sign-in", HTMLDialogElement);
    this.key = find(document, "#api-key", HTMLInputElement);
    this.error = find(document, "#api-key-error", HTMLElement);
    this.button = find(this.dialog, "button[type=submit]", HTMLButtonElement);
    this.signOut = find(document, "#sign-out", HTMLButtonElement);
    this.signOut.hidden = !api.session.signedIn;
    this.signOut.addEventListener("click", () => api.session.signOut());
    api.session.onRejected = () => this.ask();
    // Without a key, there is nothing behind the dialog.
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    find(this.dialog, "form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#signIn();
    });
  }

  ask() {
    this.onRejected();
    if (this.dialog.open) return;
    const message = this.api.session.signedIn ? "The server rejected the saved API key." : "";
    this.#showError(message);
    this.dialog.showModal();
  }

  async #signIn() {
    const key = this.key.value.trim();
    // HTTP headers allow no other characters.
    if (!/^[\x21-\x7e]+$/.test(key)) return this.#showError("Enter a valid API key.");
    this.button.disabled = true;
    try {
      this.api.session.signIn(key);
      await this.api.model();
      // With nothing of another account: neither videos, nor a position in its events.
      location.reload();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.api.session.forget();
      this.#showError(error.message);
    } finally {
      this.button.disabled = false;
    }
  }

  /** @param {string} message */
  #showError(message) {
    this.key.ariaInvalid = message ? "true" : null;
    showText(this.error, message);
    this.key.focus();
  }
}
