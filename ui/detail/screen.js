import { find } from "../browser/dom.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

// As in the gallery: what is shown larger than it is stays sharp.
const SMALL_PX = 256;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The player of the detail view. */
export class Screen {
  /** @type {string | null} of which video it plays */
  #id = null;

  /** @param {HTMLElement} root @param {Media} media */
  constructor(root, media) {
    this.player = find(root, "video", HTMLVideoElement);
    this.box = find(root, "[data-part=screen]", HTMLElement);
    this.media = media;
  }

  /** @param {Video | null} video */
  async show(video) {
    const done = video?.status === "completed";
    const id = done ? video.id : null;
    if (id === this.#id) return;
    this.#id = id;
    this.player.pause();
    this.player.removeAttribute("src");
    this.player.removeAttribute("poster");
    this.player.load();
    this.player.hidden = !done;
    if (!video || id === null) return;
    this.player.setAttribute("aria-label", video.prompt);
    this.player.classList.toggle("small", parseInt(video.size ?? "", 10) < SMALL_PX);
    const [poster, url] = await Promise.all(
      /** @type {const} */ (["thumbnail", "video"]).map((variant) => this.media.url(id, variant).catch(() => "")),
    );
    if (this.#id !== id) return;
    if (poster) this.player.poster = poster;
    if (!url) return;
    this.player.src = url;
    if (!calm.matches) this.player.play().catch(() => {}); // not allowed: there are controls
  }
}
