import { find } from "../browser/dom.js";
import { autoplayAllowed, isPixelated } from "../videos/playback.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

// A pointer that only crosses a card starts nothing.
const HOVER_MS = 150;

/** The picture of a card: a still, or the video while the card has the pointer or the focus. */
export class Poster {
  /** @type {Video | null} the video whose picture is shown or loading */
  #video = null;
  #requested = false;
  /** @type {HTMLVideoElement | null} */
  #player = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} card @param {Media} media */
  constructor(card, media) {
    this.box = find(card, "[data-part=screen]", HTMLElement);
    this.image = find(card, "img", HTMLImageElement);
    this.media = media;
    // An empty box instead of a broken image while it loads, or if it can't.
    this.image.addEventListener("load", () => (this.image.hidden = false));
    this.image.addEventListener("error", () => (this.image.hidden = true));
    for (const type of ["pointerenter", "focusin"]) card.addEventListener(type, () => this.#play());
    for (const type of ["pointerleave", "focusout"]) card.addEventListener(type, () => this.stop());
  }

  /** @param {Video | null} video a completed one, or null for no picture */
  set(video) {
    if (video?.id === this.#video?.id) return;
    this.stop();
    this.#video = video;
    this.#requested = false;
    this.image.hidden = true;
    this.image.removeAttribute("src");
    this.box.classList.toggle("small", isPixelated(video));
  }

  async show() {
    const video = this.#video;
    if (!video || this.#requested) return;
    this.#requested = true;
    const url = await this.media.url(video.id, "thumbnail").catch(() => null);
    if (url !== null && this.#video === video) this.image.src = url;
  }

  #play() {
    if (!this.#video || this.#player || !autoplayAllowed()) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), HOVER_MS);
  }

  async #start() {
    const video = this.#video;
    if (!video || this.#player) return;
    const player = document.createElement("video");
    Object.assign(player, { muted: true, loop: true, playsInline: true, tabIndex: -1 });
    // The card already has a label; this is only its picture.
    player.ariaHidden = "true";
    player.addEventListener("playing", () => player.classList.add("playing"));
    this.#player = player;
    const url = await this.media.url(video.id, "video").catch(() => null);
    if (url === null || this.#player !== player) return;
    player.src = url;
    this.box.append(player);
    player.play().catch(() => {}); // stopped before it started, or refused by the browser: the still remains
  }

  stop() {
    clearTimeout(this.#timer);
    const player = this.#player;
    if (!player) return;
    this.#player = null;
    player.remove();
    // Without this, the browser continues to load it.
    player.removeAttribute("src");
    player.load();
  }
}
