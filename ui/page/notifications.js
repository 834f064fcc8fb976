import { find, setText } from "../browser/dom.js";
import { keep, recall } from "../browser/storage.js";
import { summaryLabel } from "../videos/labels.js";
import { isActive } from "../videos/state.js";

/** @typedef {import("../server/types.js").Video} Video */

const NAME = "kinora.notify";

/** System notifications of completed videos. Asks for permission only when its button is pressed. */
export class Notifications {
  /** @type {Set<string>} ids of unfinished videos that were created on this page */
  #expected = new Set();

  /** @param {(id: string) => void} open @param {(text: string) => void} explain */
  constructor(open, explain) {
    this.open = open;
    this.explain = explain;
    this.button = find(document, "#notify", HTMLButtonElement);
    // Notifications need TLS or localhost.
    this.button.hidden = !("Notification" in window) || !window.isSecureContext;
    this.button.addEventListener("click", () => this.#toggle());
    this.#show();
  }

  get on() {
    return !this.button.hidden && Notification.permission === "granted" && recall(NAME) === "on";
  }

  /** @param {string} id */
  expect(id) {
    this.#expected.add(id);
  }

  /** @param {Video} video */
  update(video) {
    if (isActive(video) || !this.#expected.delete(video.id) || !this.on) return;
    // Not needed while the page is in view.
    if (document.visibilityState === "visible" && document.hasFocus()) return;
    const title = summaryLabel(video);
    const notification = new Notification(title, { body: video.error?.message ?? "", tag: video.id });
    notification.addEventListener("click", () => {
      window.focus();
      this.open(video.id);
      notification.close();
    });
  }

  async #toggle() {
    if (this.on) {
      keep(NAME, null);
    } else {
      const permission = await Notification.requestPermission();
      if (permission === "granted") keep(NAME, "on");
      else this.explain("Notifications are blocked. You can allow them in your browser's settings.");
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
