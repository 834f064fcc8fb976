import { ApiError } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("./library.js").Library} Library */

/**
 * @typedef {object} DeletionHandlers
 * @property {(undo: () => void, confirm: () => void) => void} offerUndo must call one of the two
 * @property {(video: Video, error: ApiError) => void} onFailed
 */

/** Deletes videos after a chance to undo: the server is called when that is over, or the page is left. */
export class PendingDeletions {
  /** @type {Map<string, Video>} */
  #pending = new Map();

  /** @param {Api} api @param {Library} library @param {DeletionHandlers} handlers */
  constructor(api, library, handlers) {
    this.api = api;
    this.library = library;
    this.handlers = handlers;
    // Not `beforeunload`, which phones skip. A page restored from the back/forward cache has already
    // sent its deletions.
    window.addEventListener("pagehide", () => this.flush());
  }

  /** @param {Video} video */
  add(video) {
    if (this.#pending.has(video.id)) return;
    this.#pending.set(video.id, video);
    this.library.hide(video.id, true);
    this.handlers.offerUndo(() => this.#undo(video), () => this.#delete(video));
  }

  /** Delete all pending videos now. */
  flush() {
    for (const video of [...this.#pending.values()]) this.#delete(video);
  }

  /** @param {Video} video */
  #undo(video) {
    if (this.#pending.delete(video.id)) this.library.hide(video.id, false);
  }

  /** @param {Video} video */
  async #delete(video) {
    if (!this.#pending.delete(video.id)) return;
    try {
      await this.api.remove(video.id);
      this.library.remove(video.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Already deleted by someone else.
      if (error.status === 404 || error.status === 410) return this.library.remove(video.id);
      this.library.hide(video.id, false);
      this.handlers.onFailed(video, error);
    }
  }
}
