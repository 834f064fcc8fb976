import { lengthLabel } from "../videos/labels.js";
import { Choices } from "./choices.js";
import { lengthChoices, nearestCount } from "./lengths.js";

/** @typedef {import("../server/types.js").LengthSpan} LengthSpan */

/** The length of the video: chosen in seconds, sent as a number of frames. */
export class Frames {
  /** The length that was asked for, which the frame rate or the model may not allow. */
  #seconds = 0;
  /** The frame rate that the offered lengths are for. */
  #fps = 0;

  constructor() {
    this.choices = new Choices("num_frames");
    this.choices.box.addEventListener("change", () => (this.#seconds = secondsOf(this.count, this.#fps)));
  }

  /** The number of frames; 0 before lengths are offered. */
  get count() {
    return Number(this.choices.value);
  }

  /**
   * Offer the lengths of a frame rate. The chosen one stays the same in seconds, as nearly as possible.
   *
   * @param {LengthSpan} span
   * @param {number} fps
   */
  offer(span, fps) {
    if (fps === this.#fps) return;
    this.#fps = fps;
    const kept = nearestCount(span, this.#seconds * fps);
    const counts = [...new Set([...lengthChoices(span, fps), kept])].sort((a, b) => a - b);
    this.choices.offer(counts.map((count) => ({ value: String(count), label: lengthLabel(count, fps) })));
    this.#check(kept);
  }

  /** Choose a number of frames at a frame rate. @param {LengthSpan} span @param {number} count @param {number} fps */
  choose(span, count, fps) {
    this.#seconds = secondsOf(count, fps);
    this.offer(span, fps);
    this.#check(count);
  }

  /** @param {number} count */
  #check(count) {
    this.choices.choose({ value: String(count), label: lengthLabel(count, this.#fps) });
  }
}

/** From the first frame to the last. @param {number} count @param {number} fps */
function secondsOf(count, fps) {
  return (count - 1) / fps;
}
