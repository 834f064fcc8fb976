import { previewLabel } from "./labels.js";
import { isPixelated } from "./playback.js";
import { isActive } from "./state.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

/** What a video will look like, as a picture behind its progress. */
export class Preview {
  /** @type {Video | null} the video whose preview is shown or loading */
  #video = null;
  /** Which preview that is; empty before the first. */
  #wanted = "";
  /** @type {HTMLImageElement | null} */
  #image = null;

  /** @param {HTMLElement} box what it fills @param {Media} media */
  constructor(box, media) {
    this.box = box;
    this.media = media;
  }

  /** @param {Video | null} video in any state, or null for no picture */
  set(video) {
    // Of a completed video it stays, until the video's own picture covers it.
    const kept = video !== null && video.id === this.#video?.id && (isActive(video) || video.status === "completed");
    if (!kept) this.#clear();
    this.#video = video;
  }

  /** Load the newest preview, unless it is shown already. */
  async show() {
    const video = this.#video;
    if (!video || video.status !== "in_progress" || !video.preview) return;
    const wanted = `${video.attempt}-${video.preview}`;
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    const image = document.createElement("img");
    image.className = "preview";
    image.alt = previewLabel(video);
    image.classList.toggle("small", isPixelated(video));
    try {
      image.src = await this.media.preview(video);
      await image.decode();
    } catch {
      return; // it has just ended, or there is a newer one soon
    }
    // Only now, so that one picture follows the other without a gap.
    if (this.#wanted !== wanted) return;
    if (this.#image) this.#image.replaceWith(image);
    else this.box.prepend(image);
    this.#image = image;
  }

  #clear() {
    this.#image?.remove();
    this.#image = null;
    this.#wanted = "";
  }
}
