/** @typedef {import("../server/api.js").Api} Api */

// The server remembers an outcome for 10 s.
const ASK_MS = 10_000;

/** Asks why videos wait, while there are videos that may. */
export class WaitReason {
  #asked = -Infinity;
  #reason = "";

  /**
   * @param {Api} api
   * @param {(reason: string) => void} report called with each other reason; empty if there is none
   */
  constructor(api, report) {
    this.api = api;
    this.report = report;
  }

  /** Ask if it is time to. @param {boolean} active whether videos wait or are made */
  async update(active) {
    if (!active) return this.#show("");
    if (performance.now() - this.#asked < ASK_MS) return;
    this.#asked = performance.now();
    this.#show(await this.api.problem());
  }

  /** @param {string} reason */
  #show(reason) {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.report(reason);
  }
}
