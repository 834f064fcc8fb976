import { find, showText } from "../browser/dom.js";
import { ApiError } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */

/** Asks for the API key where the server wants one, and forgets it again. */
export class SignIn {
  /** @param {Api} api @param {() => void} onSignedIn */
  constructor(api, onSignedIn) {
    this.api = api;
    this.onSignedIn = onSignedIn;
    this.dialog = find(document, "#sign-in", HTMLDialogElement);
    this.key = find(document, "#api-key", HTMLInputElement);
    this.problem = find(document, "#api-key-error", HTMLElement);
    this.button = find(this.dialog, "button[type=submit]", HTMLButtonElement);
    this.signOut = find(document, "#sign-out", HTMLButtonElement);
    this.signOut.hidden = !api.session.signedIn;
    this.signOut.addEventListener("click", () => api.session.signOut());
    api.session.onRefused = () => this.ask();
    // Without a key there is nothing behind the dialog.
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    find(this.dialog, "form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try();
    });
  }

  ask() {
    if (this.dialog.open) return;
    const refused = this.api.session.signedIn ? "The server does not know the key that was kept here." : "";
    this.#complain(refused);
    this.dialog.showModal();
  }

  async #try() {
    const key = this.key.value.trim();
    // HTTP headers carry no other characters.
    if (!/^[\x21-\x7e]+$/.test(key)) return this.#complain("Enter the key as you were given it.");
    this.button.disabled = true;
    try {
      this.api.session.signIn(key);
      await this.api.model();
      this.key.value = "";
      this.signOut.hidden = false;
      this.dialog.close();
      this.onSignedIn();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.api.session.forget();
      this.#complain(error.message);
    } finally {
      this.button.disabled = false;
    }
  }

  /** @param {string} message */
  #complain(message) {
    this.key.ariaInvalid = message ? "true" : null;
    showText(this.problem, message);
    this.key.focus();
  }
}
