import { find, setText } from "../browser/dom.js";
import { keep, recall } from "../browser/storage.js";
import { shortPrompt, stateLabel } from "../videos/labels.js";
import { isActive } from "../videos/state.js";

/** @typedef {import("../server/types.js").Video} Video */

const NAME = "kinora.notify";

/** Tells through the system when a video is done. Asks only when its button is pressed. */
export class Notifications {
  /** @type {Set<string>} videos that were asked for on this page */
  #awaited = new Set();

  /** @param {(id: string) => void} open @param {(text: string) => void} explain */
  constructor(open, explain) {
    this.open = open;
    this.explain = explain;
    this.button = find(document, "#notify", HTMLButtonElement);
    // Browsers have no notifications where a page comes without TLS from another machine.
    this.button.hidden = !("Notification" in window) || !window.isSecureContext;
    this.button.addEventListener("click", () => this.#toggle());
    this.#show();
  }

  get on() {
    return !this.button.hidden && Notification.permission === "granted" && recall(NAME) === "on";
  }

  /** @param {string} id */
  await(id) {
    this.#awaited.add(id);
  }

  /** @param {Video} video */
  heard(video) {
    if (isActive(video) || !this.#awaited.delete(video.id) || !this.on) return;
    // Whoever looks at the page sees it anyway.
    if (document.visibilityState === "visible" && document.hasFocus()) return;
    const title = `${stateLabel(video)}: ${shortPrompt(video.prompt)}`;
    const notice = new Notification(title, { body: video.error?.message ?? "", tag: video.id });
    notice.addEventListener("click", () => {
      window.focus();
      this.open(video.id);
      notice.close();
    });
  }

  async #toggle() {
    if (this.on) {
      keep(NAME, null);
    } else {
      const permission = await Notification.requestPermission();
      if (permission === "granted") keep(NAME, "on");
      else this.explain("The browser does not allow notifications of this page. Its settings can.");
    }
    this.#show();
  }

  #show() {
    this.button.ariaPressed = String(this.on);
    const label = this.on ? "Notifications are on" : "Notify me when a video is done";
    this.button.title = label;
    setText(find(this.button, ".visually-hidden", HTMLElement), "Notify me when a video is done");
  }
}
