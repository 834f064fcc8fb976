import { effortOf } from "./estimate.js";
import { isActive } from "./state.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("./estimate.js").Estimate} Estimate */

/** How long videos will still take: what the server last said, less the time since. */
export class Eta {
  /** @type {Map<string, {seconds: number, at: number, sure: boolean}>} */
  #said = new Map();

  /** @param {Estimate} estimate what to go by where the server says nothing */
  constructor(estimate) {
    this.estimate = estimate;
  }

  /** @param {Video} video */
  heard(video) {
    if (!isActive(video)) {
      this.#said.delete(video.id);
      return;
    }
    const told = video.eta_seconds ?? null;
    // An event tells no time left; what the server said before is better than a guess.
    if (told === null && this.#said.get(video.id)?.sure) return;
    const seconds = told ?? this.#guess(video);
    if (seconds === null) return;
    this.#said.set(video.id, { seconds, at: performance.now(), sure: told !== null });
  }

  /** Until it is completed; null if nobody knows. @param {Video} video */
  secondsLeft(video) {
    const said = this.#said.get(video.id);
    return said ? Math.max(0, said.seconds - (performance.now() - said.at) / 1000) : null;
  }

  /** Of a running video only: how long others hold up a queued one is the server's to say. @param {Video} video */
  #guess(video) {
    const effort = effortOf(video);
    const whole = effort && this.estimate.seconds(effort);
    return whole && video.status === "in_progress" ? whole * (1 - video.progress / 100) : null;
  }
}
