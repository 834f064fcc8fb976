/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").Model} Model */

// One token of Mochi's transformer covers 6 frames (after the first) and 16x16 pixels.
const FRAMES_PER_LATENT = 6;
const PATCH = 16;
// GFLOP for each token in linear layers, and for each pair of tokens in attention: 48 layers with
// 3,072 channels (the model's documentation: 10.03 B parameters, 24 heads of 128).
const LINEAR = 10.87;
const ATTENTION = (4 * 3072 * 48) / 1e9;
// Only the newest videos count, so that a change of hardware shows after this many.
const MAX_SAMPLES = 24;

/**
 * The settings that determine how long a video takes.
 *
 * @typedef {object} Effort
 * @property {string} size "WIDTHxHEIGHT"
 * @property {number} num_frames
 * @property {number} num_inference_steps
 * @property {number} guidance_scale
 * @property {string} quality
 */

/** Learns from completed videos how long others will take to render. */
export class Estimate {
  /** @type {Map<string, {id: string, at: number, denoising: number, share: number | null, pixels: number, other: number}>} */
  #samples = new Map();

  /** @param {Video} video */
  learn(video) {
    const effort = effortOf(video);
    if (video.status !== "completed" || !video.timings || !effort || this.#samples.has(video.id)) return;
    const { denoising = 0, decoding = 0, ...rest } = video.timings;
    const share = computedShare(video);
    this.#samples.set(video.id, {
      id: video.id,
      at: video.completed_at ?? 0,
      denoising: denoising / (denoisingWork(effort) * share),
      share: effort.quality === "fast" ? share : null,
      pixels: decoding / pixelsOf(effort),
      other: Object.values(rest).reduce((sum, seconds) => sum + seconds, 0),
    });
    const newest = [...this.#samples.values()].sort((a, b) => b.at - a.at).slice(0, MAX_SAMPLES);
    this.#samples = new Map(newest.map((sample) => [sample.id, sample]));
  }

  /** Seconds of render time; null before the first completed video. @param {Effort} effort */
  seconds(effort) {
    const samples = [...this.#samples.values()];
    if (samples.length === 0) return null;
    return (
      median(samples.map((sample) => sample.denoising)) * denoisingWork(effort) * shareOf(effort, samples)
      + median(samples.map((sample) => sample.pixels)) * pixelsOf(effort)
      + median(samples.map((sample) => sample.other))
    );
  }
}

/** The settings of a video; null if its request was not valid. @param {Video} video @returns {Effort | null} */
export function effortOf({ size, num_frames, num_inference_steps, guidance_scale, quality }) {
  if (size === null || num_frames === null || num_inference_steps === null) return null;
  return { size, num_frames, num_inference_steps, guidance_scale: guidance_scale ?? 0, quality: quality ?? "exact" };
}

/** With the default settings. @param {Model} model @returns {Effort} */
export function defaultEffort(model) {
  return {
    size: model.default_size,
    num_frames: model.num_frames.default,
    num_inference_steps: model.num_inference_steps.default,
    guidance_scale: model.guidance_scale.default,
    quality: "exact",
  };
}

/** The share of its steps that were computed, from 0 to 1. @param {Video} video */
function computedShare({ engine }) {
  const computed = engine?.steps_computed ?? 0;
  return computed ? computed / (computed + (engine?.steps_reused ?? 0)) : 1;
}

/**
 * The share of the steps that will be computed; all of them until a fast video has shown how many.
 *
 * @param {Effort} effort
 * @param {{share: number | null}[]} samples
 */
function shareOf({ quality }, samples) {
  const known = samples.flatMap(({ share }) => share ?? []);
  return quality === "fast" && known.length ? median(known) : 1;
}

/** In GFLOP. @param {Effort} effort */
function denoisingWork(effort) {
  const latentFrames = (effort.num_frames - 1) / FRAMES_PER_LATENT + 1;
  const tokens = latentFrames * (areaOf(effort.size) / PATCH ** 2);
  // Without guidance, a step takes one pass instead of two.
  const passes = effort.guidance_scale > 1 ? 2 : 1;
  return effort.num_inference_steps * passes * (LINEAR * tokens + ATTENTION * tokens ** 2);
}

/** @param {Effort} effort */
function pixelsOf(effort) {
  return areaOf(effort.size) * effort.num_frames;
}

/** @param {string} size "WIDTHxHEIGHT" */
function areaOf(size) {
  const [width = 0, height = 0] = size.split("x").map(Number);
  return width * height;
}

/** The lower of two: one upload that waited for the object store must not count. @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
