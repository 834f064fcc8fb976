import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { factsOf, timingsOf } from "../../ui/detail/facts.js";
import * as labels from "../../ui/videos/labels.js";
import { videoOf } from "./fakes.js";

test("a cancelled video is not called failed", () => {
  const error = { code: "cancelled", message: "The video was cancelled." };
  equal(labels.stateLabel(videoOf("v", { status: "failed", error })), "Cancelled");
  equal(labels.stateLabel(videoOf("v", { status: "failed", error: { ...error, code: "engine_crashed" } })), "Failed");
});

test("durations are rounded to what matters at their size", () => {
  const rounded = [0.123, 2.34, 42.4, 99.4, 150, 3_590, 3_600, 5_400, 7_199].map(labels.durationLabel).join(", ");
  equal(rounded, "0.12 s, 2.3 s, 42 s, 99 s, 3 min, 1 h 0 min, 1 h 0 min, 1 h 30 min, 2 h 0 min");
});

test("sizes of files are in decimal units", () => {
  equal([0, 999, 1_500, 30_000_000, 123_456_789].map(labels.bytesLabel).join(", "), "0 bytes, 999 bytes, 1.5 kB, 30 MB, 123 MB");
});

test("a length is from the first frame to the last", () => {
  equal(labels.lengthLabel(121, 30), "4 s");
  equal(labels.lengthLabel(25, 12), "2 s");
  equal(labels.lengthLabel(13, 30), "0.4 s");
});

test("ages are relative for a day, and dates after it", () => {
  const now = new Date("2026-11-28T12:00:00Z").getTime();
  const ago = (/** @type {number} */ seconds) => labels.ageLabel(now / 1000 - seconds, now);
  equal(ago(-30), "just now");
  equal(ago(59), "just now");
  equal(ago(60), "1 min ago");
  equal(ago(7_200), "2 h ago");
  equal(ago(86_400 * 2), "Nov 26, 2026");
});

test("long prompts are shortened by characters, so that no emoji is cut in half", () => {
  equal(labels.shortPrompt("🎈".repeat(60)), "🎈".repeat(60));
  equal(labels.shortPrompt("🎈".repeat(61)), `${"🎈".repeat(59)}…`);
});

test("a queued video shows its place, and a running one its stage and progress", () => {
  const queued = (/** @type {number | null} */ queue_position) =>
    labels.activityLabel(videoOf("v", { status: "queued", queue_position }));
  ok(queued(1).startsWith("Next"));
  ok(queued(2).startsWith("2nd") && queued(3).startsWith("3rd") && queued(11).startsWith("11th"));
  equal(queued(null), "Waiting");
  /** @param {number} queue_position @param {number} own_queue_position @param {number} queue_accounts */
  const shared = (queue_position, own_queue_position, queue_accounts) =>
    labels.activityLabel(videoOf("v", { status: "queued", queue_position, own_queue_position, queue_accounts }));
  equal(shared(5, 3, 2), "3rd of yours; 2 accounts share the GPUs");
  equal(shared(3, 3, 1), "3rd in queue");
  equal(shared(1, 1, 4), "Next in queue");
  const running = videoOf("v", { status: "in_progress", stage: "denoising", progress: 40 });
  equal(labels.activityLabel(running), "Denoising · 40%");
  equal(labels.activityLabel({ ...running, attempt: 2 }), "Denoising · 40%, attempt 2");
});

test("the time left is told while the estimate holds, and that it no longer does", () => {
  /** @param {Partial<import("../../ui/server/types.js").Video>} fields @param {number | null} seconds */
  const left = (fields, seconds) => labels.timeLeftLabel(videoOf("v", { status: "in_progress", ...fields }), seconds);
  equal(left({ progress: 32 }, 40.2), "40 s left");
  equal(left({ progress: 32 }, 1.2), "almost done");
  equal(left({ progress: 32 }, 0), "taking longer than usual");
  equal(left({ progress: 95 }, 0), "almost done");
  equal(left({ progress: 32 }, null), "");
});

test("a queued video is never almost done", () => {
  const queued = videoOf("v", { status: "queued", progress: 0 });
  equal(labels.timeLeftLabel(queued, 0.4), "1 s left");
  equal(labels.timeLeftLabel(queued, 0), "taking longer than usual");
});

test("an unknown stage is shown by its name", () => {
  equal(labels.stageLabel("colour_grading"), "colour grading");
});

test("only a failed video has a reason", () => {
  const error = { code: "engine_crashed", message: "The engine stopped." };
  equal(labels.failureLabel(videoOf("v", { status: "failed", error })), "The engine stopped.");
  equal(labels.failureLabel(videoOf("v")), "");
  ok(labels.failureLabel(videoOf("v", { status: "failed" })));
});

test("facts leave out what is unknown, and keep a seed of 0", () => {
  const facts = Object.fromEntries(factsOf(videoOf("v", { seed: 0, fps: null, metadata: { team: "a" } })));
  equal(facts.Seed, "0");
  equal(facts.team, "a");
  ok(!("Frame rate" in facts) && !("Length" in facts) && !("Attempt" in facts) && !("File" in facts));
});

test("the shares of all stages add up to the whole", () => {
  const stages = timingsOf(videoOf("v"));
  equal(stages.reduce((sum, { share }) => sum + share, 0).toFixed(9), "1.000000000");
  equal(stages.find(({ name }) => name === "Denoising")?.share, 0.6);
  equal(timingsOf(videoOf("v", { timings: null })).length, 0);
});

test("what has no effect is told, whatever the state", () => {
  const warnings = [{ code: "seconds_ignored", param: "seconds", message: "seconds is 4, but num_frames is used" }];
  equal(labels.warningsLabel(videoOf("v", { status: "queued", warnings })), "Note: seconds is 4, but num_frames is used.");
  equal(labels.warningsLabel(videoOf("v")), "");
});
