import { equal, ok } from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Estimate } from "../../ui/videos/estimate.js";
import { Eta } from "../../ui/videos/eta.js";
import { videoOf } from "./fakes.js";

const realNow = performance.now;
let now = 0;
let estimate = new Estimate();
let eta = new Eta(estimate);

beforeEach(() => {
  now = 0;
  performance.now = () => now;
  estimate = new Estimate();
  eta = new Eta(estimate);
});
afterEach(() => (performance.now = realNow));

/** @param {Partial<import("../../ui/server/types.js").Video>} fields */
const running = (fields) => videoOf("v1", { status: "in_progress", progress: 50, ...fields });

test("the server's time left counts down, to zero and no further", () => {
  const video = running({ eta_seconds: 20 });
  eta.update(video);
  equal(eta.secondsLeft(video), 20);
  now = 5_000;
  equal(eta.secondsLeft(video), 15);
  now = 60_000;
  equal(eta.secondsLeft(video), 0);
});

test("an event, which has no time left, keeps the server's", () => {
  estimate.learn(videoOf("other"));
  eta.update(running({ eta_seconds: 20 }));
  now = 5_000;
  eta.update(running({ eta_seconds: null, progress: 90 }));
  equal(eta.secondsLeft(running({})), 15);
});

test("without the server's, a running video is estimated from similar ones and its progress", () => {
  estimate.learn(videoOf("other"));
  const video = running({ eta_seconds: null, progress: 75 });
  eta.update(video);
  const left = eta.secondsLeft(video);
  ok(left !== null && Math.abs(left - 2.5) < 1e-6, String(left));
});

test("without the server's, nothing is known about a queued video", () => {
  estimate.learn(videoOf("other"));
  const video = videoOf("v1", { status: "queued", progress: 0, eta_seconds: null });
  eta.update(video);
  equal(eta.secondsLeft(video), null);
});

test("the server's replaces an estimate", () => {
  estimate.learn(videoOf("other"));
  eta.update(running({ eta_seconds: null }));
  eta.update(running({ eta_seconds: 99 }));
  equal(eta.secondsLeft(running({})), 99);
});

test("a video that has ended has no time left", () => {
  eta.update(running({ eta_seconds: 20 }));
  eta.update(videoOf("v1"));
  equal(eta.secondsLeft(running({})), null);
});
