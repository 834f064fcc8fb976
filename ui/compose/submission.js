import { ApiError, newIdempotencyKey } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoRequest} VideoRequest */

/** Sends requests so that each creates one video, even if responses are lost. */
export class Submission {
  /** @type {Map<string, string>} requests whose outcome is unknown, with their idempotency keys */
  #unresolved = new Map();

  /**
   * @param {Api} api
   * @param {(video: Video) => void} onAccepted called with each video
   * @param {(videos: Video[]) => void} onSent called with all videos of a call of `send`, at its end
   */
  constructor(api, onAccepted, onSent) {
    this.api = api;
    this.onAccepted = onAccepted;
    this.onSent = onSent;
  }

  /**
   * Send requests in order until one is refused.
   *
   * @param {VideoRequest[]} requests
   * @returns {Promise<{accepted: number, error: ApiError | null}>}
   */
  async send(requests) {
    /** @type {Video[]} */
    const videos = [];
    let error = null;
    for (const request of requests) {
      error = await this.#sendOne(request, videos);
      if (error) break;
    }
    if (videos.length > 0) this.onSent(videos);
    return { accepted: videos.length, error };
  }

  /** @param {VideoRequest} request @param {Video[]} videos to add the new one to @returns {Promise<ApiError | null>} */
  async #sendOne(request, videos) {
    const body = JSON.stringify(request);
    const key = this.#unresolved.get(body) ?? newIdempotencyKey();
    this.#unresolved.set(body, key);
    try {
      const video = await this.api.create(request, key);
      this.#unresolved.delete(body);
      videos.push(video);
      this.onAccepted(video);
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!error.temporary) this.#unresolved.delete(body);
      return error;
    }
  }
}
