/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").Model} Model */

// Mochi packs 6 frames (after the first) and 16x16 pixels into one token of its transformer.
const FRAMES = 6;
const PATCH = 16;
// Of a token's two costs, linear layers and attention, these are the terms in GFLOP: 48 layers
// with 3,072 channels (docs of the model: 10.03 B parameters, 24 heads of 128).
const LINEAR = 10.87;
const ATTENTION = (4 * 3072 * 48) / 1e9;
// What is newer counts; a change of hardware is forgotten after so many videos.
const REMEMBERED = 24;

/**
 * What decides how long a video takes.
 *
 * @typedef {object} Effort
 * @property {string} size "WIDTHxHEIGHT"
 * @property {number} num_frames
 * @property {number} num_inference_steps
 * @property {number} guidance_scale
 */

/** Learns from finished videos how long others will take to make. */
export class Estimate {
  /** @type {Map<string, {id: string, at: number, denoising: number, pixels: number, other: number}>} */
  #samples = new Map();

  /** @param {Video} video */
  learn(video) {
    const effort = effortOf(video);
    if (video.status !== "completed" || !video.timings || !effort || this.#samples.has(video.id)) return;
    const { denoising = 0, decoding = 0, ...rest } = video.timings;
    this.#samples.set(video.id, {
      id: video.id,
      at: video.completed_at ?? 0,
      denoising: denoising / denoisingWork(effort),
      pixels: decoding / pixelsOf(effort),
      other: Object.values(rest).reduce((sum, seconds) => sum + seconds, 0),
    });
    const newest = [...this.#samples.values()].sort((a, b) => b.at - a.at).slice(0, REMEMBERED);
    this.#samples = new Map(newest.map((sample) => [sample.id, sample]));
  }

  /** Seconds of work; null before anything was learned. @param {Effort} effort */
  seconds(effort) {
    const samples = [...this.#samples.values()];
    if (samples.length === 0) return null;
    return (
      median(samples.map((sample) => sample.denoising)) * denoisingWork(effort)
      + median(samples.map((sample) => sample.pixels)) * pixelsOf(effort)
      + median(samples.map((sample) => sample.other))
    );
  }

  /** How many times the work of `usual`. @param {Effort} effort @param {Effort} usual */
  relative(effort, usual) {
    return denoisingWork(effort) / denoisingWork(usual);
  }
}

/** The settings of a video; null where a request was not valid. @param {Video} video @returns {Effort | null} */
export function effortOf({ size, num_frames, num_inference_steps, guidance_scale }) {
  if (size === null || num_frames === null || num_inference_steps === null) return null;
  return { size, num_frames, num_inference_steps, guidance_scale: guidance_scale ?? 0 };
}

/** @param {Model} model @returns {Effort} */
export function usualEffort(model) {
  return {
    size: model.default_size,
    num_frames: model.num_frames.default,
    num_inference_steps: model.num_inference_steps.default,
    guidance_scale: model.guidance_scale.default,
  };
}

/** @param {Effort} effort */
function denoisingWork(effort) {
  const [width = 0, height = 0] = effort.size.split("x").map(Number);
  const tokens = ((effort.num_frames - 1) / FRAMES + 1) * (width / PATCH) * (height / PATCH);
  // Without guidance there is one pass a step instead of two.
  const passes = effort.guidance_scale > 1 ? 2 : 1;
  return effort.num_inference_steps * passes * (LINEAR * tokens + ATTENTION * tokens ** 2);
}

/** @param {Effort} effort */
function pixelsOf(effort) {
  const [width = 0, height = 0] = effort.size.split("x").map(Number);
  return width * height * effort.num_frames;
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
