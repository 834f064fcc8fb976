/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoRequest} VideoRequest */

/**
 * The request that produces the same video again.
 *
 * @param {Video} video one with valid settings
 * @returns {VideoRequest}
 */
export function requestOf(video) {
  const { prompt, negative_prompt, size, num_frames, fps, num_inference_steps, guidance_scale, quality, seed } = video;
  const settings = { negative_prompt, size, num_frames, fps, num_inference_steps, guidance_scale, quality, seed };
  const set = Object.entries(settings).filter(([, value]) => value !== null && value !== "");
  return { prompt, ...Object.fromEntries(set) };
}
