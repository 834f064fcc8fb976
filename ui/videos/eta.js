import { effortOf } from "./estimate.js";
import { isActive } from "./state.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("./estimate.js").Estimate} Estimate */

/** The time left for each active video: the latest estimate, less the time since. */
export class Eta {
  /** @type {Map<string, {seconds: number, at: number, fromServer: boolean}>} */
  #latest = new Map();

  /** @param {Estimate} estimate used where the server gives no `eta_seconds` */
  constructor(estimate) {
    this.estimate = estimate;
  }

  /** @param {Video} video */
  update(video) {
    if (!isActive(video)) {
      this.#latest.delete(video.id);
      return;
    }
    const eta = video.eta_seconds ?? null;
    // Events carry no `eta_seconds`. The server's previous one beats an estimate made here.
    if (eta === null && this.#latest.get(video.id)?.fromServer) return;
    const seconds = eta ?? this.#estimateLeft(video);
    if (seconds === null) return;
    this.#latest.set(video.id, { seconds, at: performance.now(), fromServer: eta !== null });
  }

  /** Until the video is completed; null if unknown. @param {Video} video */
  secondsLeft(video) {
    const latest = this.#latest.get(video.id);
    return latest ? Math.max(0, latest.seconds - (performance.now() - latest.at) / 1000) : null;
  }

  /** For running videos only: the server alone knows how long others delay a queued one. @param {Video} video */
  #estimateLeft(video) {
    const effort = effortOf(video);
    const total = effort && this.estimate.seconds(effort);
    return total && video.status === "in_progress" ? total * (1 - video.progress / 100) : null;
  }
}
