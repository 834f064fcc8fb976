import { isActive } from "./state.js";

/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {(typeof ACTIONS)[number]} ActionName */
/** @typedef {Record<ActionName, (video: Video) => void>} Actions */

/**
 * What every view of a video needs.
 *
 * @typedef {object} ViewDependencies
 * @property {Media} media
 * @property {Actions} actions
 * @property {(video: Video) => number | null} secondsLeft
 */

/** What people can do with a video. Buttons have these names in their `data-part`. */
export const ACTIONS = /** @type {const} */ (["download", "remix", "retry", "cancel", "remove"]);

/** @param {Video} video @returns {Record<ActionName, boolean>} */
export function availableActions(video) {
  // A request that was not valid has no settings.
  const valid = video.size !== null && video.prompt !== "";
  return {
    download: video.status === "completed",
    remix: valid,
    retry: valid && video.status === "failed",
    cancel: isActive(video),
    remove: true,
  };
}
