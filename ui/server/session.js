import { keep, recall } from "../browser/storage.js";

const NAME = "kinora.api-key";

/** The headers for each request. @returns {Record<string, string>} */
export function authorization(key = recall(NAME)) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** The API key stored in this browser, if any. A server without keys needs none. */
export class Session {
  /** @type {() => void} called when the server rejects the key, or requires one */
  onRejected = () => {};
  #key = recall(NAME) ?? "";

  constructor() {
    // Another tab signed in or out: this page shows the videos of a different account.
    window.addEventListener("storage", (event) => {
      if (event.key === NAME && (event.newValue ?? "") !== this.#key) location.reload();
    });
  }

  get signedIn() {
    return this.#key !== "";
  }

  get headers() {
    return authorization(this.#key);
  }

  /** @param {string} key */
  signIn(key) {
    this.#key = key;
    keep(NAME, key);
  }

  forget() {
    this.#key = "";
    keep(NAME, null);
  }

  /** Delete the key, and reload the page without it. */
  signOut() {
    this.forget();
    location.assign("/");
  }

  reject() {
    this.onRejected();
  }
}
