import { keepObject, recallObject } from "../browser/storage.js";

/** @typedef {import("../server/types.js").Model} Model */

const NAME = "kinora.form";
const MAX_VARIATIONS = 4;
export const NUMBERS = /** @type {const} */ (["num_inference_steps", "guidance_scale", "fps"]);

/** @param {Record<string, unknown>} form its values */
export function saveForm(form) {
  keepObject(NAME, form);
}

/** The values that do not depend on the model. */
export function savedText() {
  const saved = recallObject(NAME);
  return {
    prompt: text(saved.prompt),
    negative_prompt: text(saved.negative_prompt),
    seed: text(saved.seed),
    locked: saved.locked === true,
  };
}

/** The settings last used, or the model's defaults where it does not allow them. @param {Model} model */
export function savedSettings(model) {
  const saved = recallObject(NAME);
  const size = text(saved.size);
  const variations = Number(saved.variations);
  return {
    num_inference_steps: within(saved.num_inference_steps, model.num_inference_steps),
    guidance_scale: within(saved.guidance_scale, model.guidance_scale),
    fps: within(saved.fps, model.fps),
    quality: model.qualities.find((one) => one === saved.quality) ?? "exact",
    size: model.sizes.includes(size) ? size : model.default_size,
    num_frames: frames(saved.num_frames, model),
    variations: variations >= 1 && variations <= MAX_VARIATIONS ? Math.floor(variations) : 1,
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
  return (count - 1) % span.multiple === 0 ? count : span.default;
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}
