import { keepObject, recallObject } from "../browser/storage.js";

/** @typedef {import("../server/types.js").Model} Model */

const NAME = "kinora.form";
const MOST_VARIATIONS = 4;
export const NUMBERS = /** @type {const} */ (["num_inference_steps", "guidance_scale", "fps"]);

/** @param {Record<string, unknown>} form what is in it */
export function remember(form) {
  keepObject(NAME, form);
}

/** What can be shown before the model is known. */
export function rememberedText() {
  const kept = recallObject(NAME);
  return {
    prompt: text(kept.prompt),
    negative_prompt: text(kept.negative_prompt),
    seed: text(kept.seed),
    locked: kept.locked === true,
  };
}

/** What was set the last time, as far as this model can make it. @param {Model} model */
export function rememberedSettings(model) {
  const kept = recallObject(NAME);
  const size = text(kept.size);
  const variations = Number(kept.variations);
  return {
    num_inference_steps: within(kept.num_inference_steps, model.num_inference_steps),
    guidance_scale: within(kept.guidance_scale, model.guidance_scale),
    fps: within(kept.fps, model.fps),
    size: model.sizes.includes(size) ? size : model.default_size,
    num_frames: frames(kept.num_frames, model),
    variations: variations >= 1 && variations <= MOST_VARIATIONS ? Math.floor(variations) : 1,
  };
}

/** @param {unknown} value @param {import("../server/types.js").Span} span */
function within(value, span) {
  const number = text(value) === "" ? NaN : Number(value);
  return number >= span.min && number <= span.max ? number : span.default;
}

/** @param {unknown} value @param {Model} model */
function frames(value, { num_frames: span }) {
  const count = within(value, span);
  return (count - 1) % (span.multiple ?? 1) === 0 ? count : span.default;
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}
