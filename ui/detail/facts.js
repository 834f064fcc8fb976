import { bytesLabel, durationLabel, lengthLabel, momentLabel, sizeLabel, stageLabel } from "../videos/labels.js";

/** @typedef {import("../server/types.js").Video} Video */

/**
 * Everything known about a video, as names and values.
 *
 * @param {Video} video
 * @returns {[string, string][]} without unknown values
 */
export function factsOf(video) {
  const known = video.num_frames !== null && video.fps !== null;
  const length = known ? `${lengthLabel(video.num_frames ?? 0, video.fps ?? 1)}, ${video.num_frames} frames` : "";
  /** @type {[string, unknown][]} */
  const facts = [
    ["Size", video.size && sizeLabel(video.size)],
    ["Length", length],
    ["Frame rate", video.fps && `${video.fps} fps`],
    ["Steps", video.num_inference_steps],
    ["Guidance scale", video.guidance_scale],
    ["Quality", qualityFact(video)],
    ["Priority", priorityFact(video)],
    ["Seed", video.seed],
    ["Model", video.model],
    ["Weights", video.model_revision],
    ["File", video.output && bytesLabel(video.output.bytes)],
    ["SHA-256", video.output?.sha256],
    ["Created", momentLabel(video.created_at)],
    ["Started", momentLabel(video.started_at)],
    [video.status === "completed" ? "Completed" : "Ended", momentLabel(video.completed_at)],
    ["Expires", momentLabel(video.expires_at)],
    ["Attempt", video.attempt > 1 ? video.attempt : null],
    ["User", video.user],
    ["Remix of", video.remixed_from_video_id],
    ...Object.entries(video.metadata ?? {}),
    ["ID", video.id],
  ];
  return facts
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [name, String(value)]);
}

/** Only what differs from others' matters, and only while the video waits. @param {Video} video */
function priorityFact({ status, priority }) {
  if (status !== "queued" || !priority || priority === "normal") return null;
  return priority === "high" ? "High" : "Low";
}

/** What was asked for, and what came of it. @param {Video} video */
function qualityFact({ quality, engine }) {
  if (quality !== "fast") return quality && "Exact";
  const reused = engine?.steps_reused ?? null;
  return reused === null ? "Fast" : `Fast, ${reused} steps reused`;
}

/**
 * The duration of each stage.
 *
 * @param {Video} video
 * @returns {{name: string, label: string, share: number}[]} `share` from 0 to 1
 */
export function timingsOf(video) {
  const stages = Object.entries(video.timings ?? {});
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  return stages.map(([stage, seconds]) => ({
    name: stageLabel(stage),
    label: durationLabel(seconds),
    share: seconds / total,
  }));
}
