import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { availableActions } from "../../ui/videos/available_actions.js";
import { displayState, reconcile } from "../../ui/videos/state.js";
import { videoOf } from "./fakes.js";

/** @param {number} progress @param {number} [attempt] */
const running = (progress, attempt = 1) => videoOf("v", { status: "in_progress", progress, attempt });
const queued = videoOf("v", { status: "queued", progress: 0, attempt: 0 });
const completed = videoOf("v");
const cancelled = videoOf("v", { status: "failed", error: { code: "cancelled", message: "" } });

test("a terminal state is final", () => {
  equal(reconcile(completed, running(50)), completed);
  equal(reconcile(completed, queued), completed);
  equal(reconcile(running(99), completed), completed);
});

test("progress only grows within an attempt", () => {
  equal(reconcile(running(50), running(40)).progress, 50);
  equal(reconcile(running(50), running(60)).progress, 60);
});

test("an older response still brings what it knows better", () => {
  const read = { ...running(40), eta_seconds: 12 };
  const { progress, eta_seconds } = reconcile(running(50), read);
  deepEqual({ progress, eta_seconds }, { progress: 50, eta_seconds: 12 });
});

test("an older response does not bring back an older preview", () => {
  const known = { ...running(50), preview: 2 };
  equal(reconcile(known, { ...running(40), preview: 1 }).preview, 2);
  equal(reconcile(known, { ...running(60), preview: 3 }).preview, 3);
  equal(reconcile(known, { ...running(0, 2), preview: null }).preview, null);
});

test("a new attempt starts from zero, and an older one does not return", () => {
  equal(reconcile(running(90), running(0, 2)).progress, 0);
  equal(reconcile(running(0, 2), running(90)).attempt, 2);
});

test("a video that is not known yet is taken as it is", () => equal(reconcile(undefined, queued), queued));

test("a cancelled video has a state of its own on the page", () => {
  equal(displayState(cancelled), "cancelled");
  equal(displayState({ ...cancelled, error: null }), "failed");
});

/** @param {import("../../ui/server/types.js").Video} video */
const offered = (video) =>
  Object.entries(availableActions(video)).filter(([, available]) => available).map(([name]) => name);

test("each state offers what can be done in it", () => {
  deepEqual(offered(completed), ["download", "remix", "remove"]);
  deepEqual(offered(running(50)), ["remix", "cancel", "remove"]);
  deepEqual(offered(cancelled), ["remix", "retry", "remove"]);
});

test("a request that was not valid can only be deleted", () => {
  deepEqual(offered({ ...cancelled, size: null, prompt: "" }), ["remove"]);
});
