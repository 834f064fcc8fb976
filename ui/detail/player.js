import { find } from "../browser/dom.js";
import { autoplayAllowed, isPixelated } from "../videos/playback.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

/** The video player of the detail view. */
export class Player {
  /** @type {string | null} the id of the video that is loaded */
  #id = null;

  /** @param {HTMLElement} root @param {Media} media */
  constructor(root, media) {
    this.element = find(root, "video", HTMLVideoElement);
    this.media = media;
  }

  /** @param {Video | null} video */
  async show(video) {
    const completed = video?.status === "completed";
    const id = completed ? video.id : null;
    if (id === this.#id) return;
    this.#id = id;
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.removeAttribute("poster");
    this.element.load();
    this.element.hidden = !completed;
    if (!video || id === null) return;
    this.element.setAttribute("aria-label", video.prompt);
    this.element.classList.toggle("small", isPixelated(video));
    const [poster, url] = await Promise.all(
      /** @type {const} */ (["thumbnail", "video"]).map((variant) => this.media.url(id, variant).catch(() => "")),
    );
    if (this.#id !== id) return;
    if (poster) this.element.poster = poster;
    if (!url) return;
    this.element.src = url;
    if (autoplayAllowed()) this.element.play().catch(() => {}); // refused by the browser: there are controls
  }
}
