import { find, setText, showText } from "../browser/dom.js";

/** @typedef {import("../server/api.js").ApiError} ApiError */

// Interruptions shorter than this show no banner.
const GRACE_MS = 700;
const STATES = { "signed-out": "Signed out", down: "Disconnected", live: "Live", polling: "Polling" };

/** Shows whether the page is up to date, and if not, why; and why videos wait. */
export class Connection {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #text = "";
  /** @type {ApiError | null} */
  #error = null;
  #waitReason = "";

  constructor() {
    this.banner = find(document, "#banner", HTMLElement);
    this.light = find(document, "#live", HTMLElement);
  }

  /** @param {ApiError | null} error of the latest update @param {boolean} live whether events arrive */
  show(error, live) {
    // The server answers: the dialog says what is missing.
    const signedOut = error?.status === 401;
    const state = signedOut ? "signed-out" : error ? "down" : live ? "live" : "polling";
    this.light.dataset.state = state;
    setText(this.light, STATES[state]);
    this.#error = signedOut ? null : error;
    this.#showBanner();
  }

  /** @param {string} reason why no video is made; empty if there is no reason */
  showWaitReason(reason) {
    this.#waitReason = reason;
    this.#showBanner();
  }

  #showBanner() {
    const wait = this.#waitReason && `Videos wait: ${this.#waitReason}`;
    const text = textOf(this.#error) || wait;
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
  if (error === null) return "";
  if (!navigator.onLine) return "You're offline. The page reconnects when you're back online.";
  if (error.unreachable) return "Can't reach the server. Retrying…";
  return error.message;
}
