import { find, setText } from "../browser/dom.js";
import { defaultEffort } from "../videos/estimate.js";
import { durationLabel } from "../videos/labels.js";

/** @typedef {import("../server/types.js").Model} Model */
/** @typedef {import("../videos/estimate.js").Estimate} Estimate */
/** @typedef {import("../videos/estimate.js").Effort} Effort */
/** @typedef {import("./choices.js").Choices} Choices */
/** @typedef {import("./fields.js").Fields} Fields */

/** Shows the render time of each size and length, with everything else as in the form. */
export class Costs {
  /** @param {Fields} fields @param {Choices} size @param {Choices} frames @param {Estimate} estimate */
  constructor(fields, size, frames, estimate) {
    this.fields = fields;
    this.size = size;
    this.frames = frames;
    this.estimate = estimate;
    this.total = find(document, "#cost", HTMLElement);
  }

  /** @param {Model} model @param {number} count of videos to create */
  show(model, count) {
    const effort = this.#effort(model);
    this.size.showCosts((size) => this.#cost({ ...effort, size }));
    this.frames.showCosts((frames) => this.#cost({ ...effort, num_frames: Number(frames) }));
    const cost = this.#cost(effort);
    setText(this.total, cost && `${cost} render time${count > 1 ? " each" : ""}`);
  }

  /** @param {Model} model @returns {Effort} */
  #effort(model) {
    const defaults = defaultEffort(model);
    const number = (/** @type {"num_inference_steps" | "guidance_scale"} */ name) => {
      const text = this.fields.get(name).value;
      return text === "" ? defaults[name] : Number(text);
    };
    return {
      size: this.size.value || defaults.size,
      num_frames: Number(this.frames.value) || defaults.num_frames,
      num_inference_steps: number("num_inference_steps"),
      guidance_scale: number("guidance_scale"),
      quality: this.fields.get("quality").value,
    };
  }

  /** @param {Effort} effort @returns {string} "" if nothing is known yet */
  #cost(effort) {
    const seconds = this.estimate.seconds(effort);
    return seconds === null ? "" : `~${durationLabel(seconds)}`;
  }
}
