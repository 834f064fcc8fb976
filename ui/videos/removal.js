import { ApiError } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("./library.js").Library} Library */

/**
 * @typedef {object} Offer
 * @property {(undo: () => void, over: () => void) => void} undo ask whether to undo; one is called
 * @property {(video: Video, error: ApiError) => void} failed
 */

/** Deletes with a time for regret: the server hears of it when that is over, or the page is left. */
export class Removal {
  /** @type {Map<string, Video>} */
  #pending = new Map();

  /** @param {Api} api @param {Library} library @param {Offer} offer */
  constructor(api, library, offer) {
    this.api = api;
    this.library = library;
    this.offer = offer;
    // Not `beforeunload`, which phones skip; a page that comes back from the cache has it done.
    window.addEventListener("pagehide", () => this.flush());
  }

  /** @param {Video} video */
  remove(video) {
    if (this.#pending.has(video.id)) return;
    this.#pending.set(video.id, video);
    this.library.hide(video.id, true);
    this.offer.undo(() => this.#undo(video), () => this.#carryOut(video));
  }

  /** Wait no longer with any of them. */
  flush() {
    for (const video of [...this.#pending.values()]) this.#carryOut(video);
  }

  /** @param {Video} video */
  #undo(video) {
    if (this.#pending.delete(video.id)) this.library.hide(video.id, false);
  }

  /** @param {Video} video */
  async #carryOut(video) {
    if (!this.#pending.delete(video.id)) return;
    try {
      await this.api.remove(video.id);
      this.library.remove(video.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Somebody else was faster.
      if (error.status === 404 || error.status === 410) return this.library.remove(video.id);
      this.library.hide(video.id, false);
      this.offer.failed(video, error);
    }
  }
}
