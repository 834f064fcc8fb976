/** @typedef {import("../server/types.js").Video} Video */

/** @param {Video} video */
export function isActive(video) {
  return video.status === "queued" || video.status === "in_progress";
}

/** @param {Video} video */
export function isCancelled(video) {
  return video.status === "failed" && video.error?.code === "cancelled";
}

/** What the page shows: the API's states, and a cancelled video is no failure. @param {Video} video */
export function shownState(video) {
  return isCancelled(video) ? "cancelled" : video.status;
}

/**
 * The later of two states of the same video. Answers overtake each other: what has ended never
 * starts again, and progress only grows within an attempt.
 *
 * @param {Video | undefined} known
 * @param {Video} read
 * @returns {Video}
 */
export function later(known, read) {
  if (!known) return read;
  if (!isActive(known) && isActive(read)) return known;
  if (known.attempt > read.attempt && isActive(read)) return known;
  const behind = known.attempt === read.attempt && known.progress > read.progress;
  if (!isActive(read) || !behind) return read;
  return { ...read, status: known.status, progress: known.progress, stage: known.stage };
}
