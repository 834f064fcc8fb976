import { keep, recall } from "../browser/storage.js";

const NAME = "kinora.api-key";

/** What to send with each request. @returns {Record<string, string>} */
export function authorization(key = recall(NAME)) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** The API key that this browser keeps, if any. A server without keys needs none. */
export class Session {
  /** @type {() => void} called when the server refuses the key, or misses one */
  onRefused = () => {};
  #key = recall(NAME) ?? "";

  constructor() {
    // Another tab signed in or out: what is shown here belongs to somebody else now.
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

  /** Forget the key, and everything that it showed. */
  signOut() {
    this.forget();
    location.assign("/");
  }

  refuse() {
    this.onRefused();
  }
}
