/** @typedef {import("../server/types.js").Video} Video */

// Narrower videos are shown enlarged, and smoothing would only blur them.
const SMALL_PX = 256;

/** Whether to scale the video without smoothing. @param {Video | null} video */
export function isPixelated(video) {
  return parseInt(video?.size ?? "", 10) < SMALL_PX;
}

/** Whether videos may start playing without a click. */
export function autoplayAllowed() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}
