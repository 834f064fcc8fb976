import { ApiError, newIdempotencyKey } from "../server/api.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoRequest} VideoRequest */

/** Sends requests so that each creates one video, even if responses are lost. */
export class Submission {
  /** @type {Map<string, string>} requests whose outcome is unknown, with their idempotency keys */
  #unresolved = new Map();

  /** @param {Api} api @param {(video: Video) => void} onAccepted */
  constructor(api, onAccepted) {
    this.api = api;
    this.onAccepted = onAccepted;
  }

  /**
   * Send requests in order until one is refused.
   *
   * @param {VideoRequest[]} requests
   * @returns {Promise<{accepted: number, error: ApiError | null}>}
   */
  async send(requests) {
    let accepted = 0;
    for (const request of requests) {
      const error = await this.#sendOne(request);
      if (error) return { accepted, error };
      accepted += 1;
    }
    return { accepted, error: null };
  }

  /** @param {VideoRequest} request @returns {Promise<ApiError | null>} */
  async #sendOne(request) {
    const body = JSON.stringify(request);
    const key = this.#unresolved.get(body) ?? newIdempotencyKey();
    this.#unresolved.set(body, key);
    try {
      this.onAccepted(await this.api.create(request, key));
      this.#unresolved.delete(body);
      return null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!error.temporary) this.#unresolved.delete(body);
      return error;
    }
  }
}
