import { find, setText, showText } from "../browser/dom.js";

/** @typedef {import("../server/api.js").ApiError} ApiError */

// Interruptions shorter than this show no banner.
const GRACE_MS = 700;

/** Shows whether the page is up to date, and if not, why. */
export class Connection {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #text = "";

  constructor() {
    this.banner = find(document, "#banner", HTMLElement);
    this.light = find(document, "#live", HTMLElement);
  }

  /** @param {ApiError | null} error of the latest update @param {boolean} live whether events arrive */
  show(error, live) {
    const state = error ? "down" : live ? "live" : "polling";
    this.light.dataset.state = state;
    setText(this.light, { down: "Disconnected", live: "Live", polling: "Polling" }[state]);
    this.#showBanner(textOf(error));
  }

  /** @param {string} text */
  #showBanner(text) {
    if (text === this.#text) return;
    this.#text = text;
    clearTimeout(this.#timer);
    const show = () => showText(this.banner, text);
    if (text && this.banner.hidden) this.#timer = setTimeout(show, GRACE_MS);
    else show();
  }
}

/** @param {ApiError | null} error */
function textOf(error) {
  if (error === null || error.status === 401) return "";
  if (!navigator.onLine) return "You're offline. The page reconnects when you're back online.";
  if (error.unreachable) return "Can't reach the server. Retrying…";
  return error.message;
}
