import { find, setText } from "../browser/dom.js";
import { usualEffort } from "../videos/estimate.js";
import { durationLabel } from "../videos/labels.js";

/** @typedef {import("../server/types.js").Model} Model */
/** @typedef {import("../videos/estimate.js").Estimate} Estimate */
/** @typedef {import("../videos/estimate.js").Effort} Effort */
/** @typedef {import("./choices.js").Choices} Choices */
/** @typedef {import("./fields.js").Fields} Fields */

/** What each size and length would cost in time, with everything else as it is in the form. */
export class Costs {
  /** @param {Fields} fields @param {Choices} size @param {Choices} frames @param {Estimate} estimate */
  constructor(fields, size, frames, estimate) {
    this.fields = fields;
    this.size = size;
    this.frames = frames;
    this.estimate = estimate;
    this.total = find(document, "#cost", HTMLElement);
  }

  /** @param {Model} model @param {number} count of videos to be made */
  show(model, count) {
    const effort = this.#effort(model);
    this.size.price((size) => this.#cost({ ...effort, size }, model));
    this.frames.price((frames) => this.#cost({ ...effort, num_frames: Number(frames) }, model));
    const learned = this.estimate.seconds(effort) !== null;
    const each = count > 1 ? " each" : "";
    const cost = this.#cost(effort, model);
    setText(this.total, learned ? `${cost} of work${each}` : `${cost} the usual work${each}`);
  }

  /** @param {Model} model @returns {Effort} */
  #effort(model) {
    const usual = usualEffort(model);
    const number = (/** @type {"num_inference_steps" | "guidance_scale"} */ name) => {
      const text = this.fields.get(name).value;
      return text === "" ? usual[name] : Number(text);
    };
    return {
      size: this.size.value || usual.size,
      num_frames: Number(this.frames.value) || usual.num_frames,
      num_inference_steps: number("num_inference_steps"),
      guidance_scale: number("guidance_scale"),
    };
  }

  /** @param {Effort} effort @param {Model} model */
  #cost(effort, model) {
    const seconds = this.estimate.seconds(effort);
    if (seconds !== null) return `~${durationLabel(seconds)}`;
    const times = this.estimate.relative(effort, usualEffort(model));
    return `${times < 10 ? Math.round(times * 10) / 10 : Math.round(times)}×`;
  }
}
