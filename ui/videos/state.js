/** @typedef {import("../server/types.js").Video} Video */

/** @param {Video} video */
export function isActive(video) {
  return video.status === "queued" || video.status === "in_progress";
}

/** @param {Video} video */
export function isCancelled(video) {
  return video.status === "failed" && video.error?.code === "cancelled";
}

/** The API's status, except that the page does not count a cancelled video as failed. @param {Video} video */
export function displayState(video) {
  return isCancelled(video) ? "cancelled" : video.status;
}

/**
 * The newer of two states of the same video. Responses can arrive out of order: a terminal state is
 * final, and progress only grows within an attempt.
 *
 * @param {Video | undefined} known
 * @param {Video} received
 * @returns {Video}
 */
export function reconcile(known, received) {
  if (!known) return received;
  if (!isActive(known) && isActive(received)) return known;
  if (known.attempt > received.attempt && isActive(received)) return known;
  const behind = known.attempt === received.attempt && known.progress > received.progress;
  if (!isActive(received) || !behind) return received;
  const { status, progress, stage, preview } = known;
  return { ...received, status, progress, stage, preview };
}
