/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").Span} Span */

// Mochi's VAE packs six frames into one latent frame, after a first frame of its own.
const FRAMES_PER_LATENT = 6;

/**
 * Frame counts to offer: about `wanted` of the legal ones (6k+1), evenly spread, with the
 * shortest, the longest and the default among them.
 *
 * @param {Span} span
 * @param {number} [wanted]
 * @returns {number[]}
 */
export function frameChoices(span, wanted = 6) {
  const first = Math.ceil((span.min - 1) / FRAMES_PER_LATENT);
  const last = Math.floor((span.max - 1) / FRAMES_PER_LATENT);
  const latents = new Set([(span.default - 1) / FRAMES_PER_LATENT]);
  for (let i = 0; i < wanted; i += 1) {
    latents.add(Math.round(first + ((last - first) * i) / (wanted - 1)));
  }
  return [...latents].sort((a, b) => a - b).map((k) => k * FRAMES_PER_LATENT + 1);
}

/**
 * From the first frame to the last.
 *
 * @param {number} numFrames
 * @param {number} fps
 */
export function lengthLabel(numFrames, fps) {
  return `${oneDecimal((numFrames - 1) / fps)} s`;
}

/** @param {string} size "WIDTHxHEIGHT" */
export function sizeLabel(size) {
  return size.replace("x", " × ");
}

/** @param {Video} video a request that was not valid has no settings */
export function settingsLine(video) {
  if (video.size === null) return "";
  const parts = [
    sizeLabel(video.size),
    `${oneDecimal(Number(video.seconds))} s at ${video.fps} fps`,
    `${video.num_inference_steps} steps`,
    `guidance ${video.guidance_scale}`,
    `seed ${video.seed}`,
  ];
  // No-break spaces, so that a line breaks only between settings.
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
}

/** @param {Video} video */
export function stateLabel(video) {
  if (isCancelled(video)) return "Cancelled";
  return { queued: "Queued", in_progress: "In progress", completed: "Completed", failed: "Failed" }[
    video.status
  ];
}

/** @param {Video} video */
export function isCancelled(video) {
  return video.status === "failed" && video.error?.code === "cancelled";
}

/** @param {Video} video */
export function isActive(video) {
  return video.status === "queued" || video.status === "in_progress";
}

/** @param {number | null} position 1 is next */
export function queueLabel(position) {
  if (position === null || position === undefined) return "Waiting in the queue";
  return position <= 1 ? "Next in the queue" : `${ordinal(position)} in the queue`;
}

/** @param {Video} video */
export function progressLabel(video) {
  const stage = (video.stage ?? "starting").replaceAll("_", " ");
  const again = video.attempt > 1 ? ` (attempt ${video.attempt})` : "";
  return `${video.progress}% · ${stage}${again}`;
}

/** @param {Video} video how long the work took, or "" */
export function tookLabel(video) {
  if (video.status !== "completed" || !video.completed_at || !video.started_at) return "";
  const seconds = Math.max(0, video.completed_at - video.started_at);
  if (seconds < 60) return `took ${seconds} s`;
  return `took ${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/**
 * @param {number} unixSeconds
 * @param {number} [now] in milliseconds
 */
export function ageLabel(unixSeconds, now = Date.now()) {
  // The two clocks differ, so a video can seem to come from the future.
  const minutes = Math.max(0, Math.floor((now / 1000 - unixSeconds) / 60));
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(unixSeconds * 1000).toLocaleDateString("en", { dateStyle: "medium" });
}

/** @param {string} prompt its beginning, for announcements */
export function shortPrompt(prompt) {
  const characters = [...prompt];
  return characters.length > 60 ? `${characters.slice(0, 59).join("")}…` : prompt;
}

/** @param {number} n */
function ordinal(n) {
  const rule = new Intl.PluralRules("en", { type: "ordinal" }).select(n);
  return n + ({ one: "st", two: "nd", few: "rd" }[String(rule)] ?? "th");
}

/** @param {number} value */
function oneDecimal(value) {
  return String(Math.round(value * 10) / 10);
}
