/** @typedef {import("../server/media.js").Media} Media */
/** @typedef {import("../server/types.js").Video} Video */

/**
 * @typedef {object} Actions
 * @property {(video: Video) => void} cancel
 * @property {(video: Video) => void} remove
 * @property {(video: Video) => void} remix
 * @property {(video: Video) => void} again
 * @property {(video: Video) => void} download
 */

/**
 * @typedef {object} Means what views of a video work with
 * @property {Media} media
 * @property {Actions} actions
 * @property {(video: Video) => number | null} secondsLeft
 */

export {};
