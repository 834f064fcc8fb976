import { find } from "../browser/dom.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

// A pointer on its way over a card does not want to see it.
const HOVER_MS = 150;
// Below this width a video is shown larger than it is, and smoothing would only blur it.
const SMALL_PX = 256;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The picture of a card: a still, and the video itself while one points at it. */
export class Poster {
  /** @type {Video | null} whose picture is shown, or will be */
  #video = null;
  #asked = false;
  /** @type {HTMLVideoElement | null} */
  #player = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} card @param {Media} media */
  constructor(card, media) {
    this.box = find(card, "[data-part=screen]", HTMLElement);
    this.image = find(card, "img", HTMLImageElement);
    this.media = media;
    // Until it is there, and if it can't be had, the box is empty rather than broken.
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
    this.#asked = false;
    this.image.hidden = true;
    this.image.removeAttribute("src");
    this.box.classList.toggle("small", parseInt(video?.size ?? "", 10) < SMALL_PX);
  }

  async show() {
    const video = this.#video;
    if (!video || this.#asked) return;
    this.#asked = true;
    const url = await this.media.url(video.id, "thumbnail").catch(() => null);
    if (url !== null && this.#video === video) this.image.src = url;
  }

  #play() {
    if (!this.#video || this.#player || calm.matches) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), HOVER_MS);
  }

  async #start() {
    const video = this.#video;
    if (!video || this.#player) return;
    const player = document.createElement("video");
    Object.assign(player, { muted: true, loop: true, playsInline: true, tabIndex: -1 });
    // The card says what it is; this is its picture.
    player.ariaHidden = "true";
    player.addEventListener("playing", () => player.classList.add("playing"));
    this.#player = player;
    const url = await this.media.url(video.id, "video").catch(() => null);
    if (url === null || this.#player !== player) return;
    player.src = url;
    this.box.append(player);
    player.play().catch(() => {}); // stopped before it began, or not allowed: the still remains
  }

  stop() {
    clearTimeout(this.#timer);
    const player = this.#player;
    if (!player) return;
    this.#player = null;
    player.remove();
    // Without this the browser goes on loading.
    player.removeAttribute("src");
    player.load();
  }
}
