import { isCancelled } from "./state.js";

/** @typedef {import("../server/types.js").Video} Video */

const STATES = {
  queued: "Queued", in_progress: "In progress", completed: "Completed", failed: "Failed",
};
/** @type {Record<string, string>} */
const STAGES = {
  encoding: "Encoding prompt",
  denoising: "Denoising",
  decoding: "Decoding frames",
  saving: "Saving",
  uploading: "Uploading",
};

// From this percentage on, an estimate that has run out was only slightly wrong.
const ALMOST_DONE = 90;

/** @param {Video} video */
export function stateLabel(video) {
  return isCancelled(video) ? "Cancelled" : STATES[video.status];
}

/** The video in one line, for announcements. @param {Video} video */
export function summaryLabel(video) {
  return `${stateLabel(video)}: ${shortPrompt(video.prompt)}`;
}

/** Videos that were just created, in one line. @param {Video[]} videos at least one */
export function newLabel(videos) {
  return videos.length === 1 ? summaryLabel(/** @type {Video} */ (videos[0])) : `${videos.length} new videos`;
}

/** @param {Video} video */
export function titleLabel(video) {
  return video.prompt || "(No prompt)";
}

/** @param {Video} video "" unless it failed */
export function failureLabel(video) {
  return video.status === "failed" ? video.error?.message ?? "The video failed." : "";
}

/** What of the request has no effect, in one line. @param {Video} video "" if all of it has */
export function warningsLabel(video) {
  return video.warnings.map(({ message }) => `Note: ${message}.`).join(" ");
}

/** @param {string | null} stage */
export function stageLabel(stage) {
  return STAGES[stage ?? "encoding"] ?? String(stage).replaceAll("_", " ");
}

/** What an active video is doing: its stage, or its place in the queue. @param {Video} video */
export function activityLabel(video) {
  if (video.status !== "in_progress") return queueLabel(video);
  const attempt = video.attempt > 1 ? `, attempt ${video.attempt}` : "";
  return `${stageLabel(video.stage)} · ${video.progress}%${attempt}`;
}

/** @param {Video} video an active one @param {number | null} seconds null if unknown, 0 if the estimate has run out */
export function timeLeftLabel(video, seconds) {
  if (seconds === null) return "";
  const ending = video.progress >= ALMOST_DONE;
  if (seconds <= 0 && !ending) return "taking longer than usual";
  if (seconds < 1.5 && video.status === "in_progress") return "almost done";
  return `${durationLabel(Math.max(1, Math.round(seconds)))} left`;
}

/** A rough duration. @param {number} seconds */
export function durationLabel(seconds) {
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {string} size "WIDTHxHEIGHT" */
export function sizeLabel(size) {
  return size.replace("x", " × ");
}

/** From the first frame to the last. @param {number} numFrames @param {number} fps */
export function lengthLabel(numFrames, fps) {
  return `${Math.round(((numFrames - 1) / fps) * 10) / 10} s`;
}

/** The settings that a card shows. @param {Video} video */
export function settingsLabel(video) {
  if (video.size === null || video.num_frames === null || video.fps === null) return "";
  const length = lengthLabel(video.num_frames, video.fps);
  const parts = [sizeLabel(video.size), length];
  // No-break spaces within a setting, so that lines break only between settings.
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
}

/** @param {number} bytes */
export function bytesLabel(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : Math.round(value * 10) / 10} ${units[power]}`;
}

/** @param {number} unixSeconds @param {number} [now] in milliseconds */
export function ageLabel(unixSeconds, now = Date.now()) {
  // Clocks differ between machines, so a video can seem to come from the future.
  const minutes = Math.max(0, Math.floor((now / 1000 - unixSeconds) / 60));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(unixSeconds * 1000).toLocaleDateString("en", { dateStyle: "medium" });
}

/** @param {number | null} unixSeconds */
export function momentLabel(unixSeconds) {
  if (unixSeconds === null) return "";
  return new Date(unixSeconds * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
}

/** What the preview of a video is, for those who can't see it. @param {Video} video */
export function previewLabel(video) {
  return `Preview of ${shortPrompt(video.prompt)}`;
}

/** The beginning of a prompt. @param {string} prompt */
export function shortPrompt(prompt) {
  const characters = [...prompt];
  return characters.length > 60 ? `${characters.slice(0, 59).join("")}…` : prompt;
}

/** Where a video is in the queue, and why others may come first. @param {Video} video */
function queueLabel({ queue_position: position, own_queue_position: own, queue_accounts: accounts }) {
  if (!position) return "Waiting";
  if (position === 1) return "Next in queue";
  if (!own || (accounts ?? 1) < 2) return `${ordinal(position)} in queue`;
  return `${ordinal(own)} of yours; ${accounts} accounts share the GPUs`;
}

/** @param {number} n */
function ordinal(n) {
  const rule = new Intl.PluralRules("en", { type: "ordinal" }).select(n);
  return n + ({ one: "st", two: "nd", few: "rd" }[String(rule)] ?? "th");
}
