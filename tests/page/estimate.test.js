import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Estimate, defaultEffort, effortOf } from "../../ui/videos/estimate.js";
import { videoOf } from "./fakes.js";

const SMALL = { size: "96x64", num_frames: 25, num_inference_steps: 16, guidance_scale: 9, quality: "exact" };

/** @param {number | null} actual @param {number} expected */
function close(actual, expected) {
  ok(actual !== null && Math.abs(actual - expected) < 1e-6 * expected, `${actual} is not ${expected}`);
}

/** An estimate that knows one video of 10 s: 6 s of denoising, 2 s of decoding, 2 s of the rest. */
function experienced() {
  const estimate = new Estimate();
  estimate.learn(videoOf("v1"));
  return estimate;
}

test("nothing is estimated before the first completed video", () => {
  const estimate = new Estimate();
  estimate.learn(videoOf("v1", { status: "failed" }));
  estimate.learn(videoOf("v2", { timings: null }));
  estimate.learn(videoOf("v3", { size: null }));
  equal(estimate.seconds(SMALL), null);
});

test("the same settings take the same time", () => close(experienced().seconds(SMALL), 10));

test("twice the steps double the denoising, and nothing else", () => {
  close(experienced().seconds({ ...SMALL, num_inference_steps: 32 }), 16);
});

test("without guidance the denoising takes half the time", () => {
  close(experienced().seconds({ ...SMALL, guidance_scale: 1 }), 7);
});

test("a fast video costs the share of its steps that fast videos computed", () => {
  const estimate = experienced();
  const fast = { ...SMALL, quality: "fast" };
  close(estimate.seconds(fast), 10);  // none is known yet
  const timings = { encoding: 1, denoising: 3, decoding: 2, saving: 1 };
  estimate.learn(videoOf("v2", { quality: "fast", timings, engine: { steps_computed: 8, steps_reused: 8 } }));
  close(estimate.seconds(fast), 7);
  close(estimate.seconds(SMALL), 10);
});

test("attention makes larger videos cost more than their share of pixels", () => {
  const seconds = experienced().seconds({ ...SMALL, size: "848x480" }) ?? 0;
  ok(seconds > (6 + 2) * ((848 * 480) / (96 * 64)));
});

test("one slow video does not spoil the estimate", () => {
  const estimate = new Estimate();
  for (const id of ["v1", "v2", "v3", "v4"]) estimate.learn(videoOf(id));
  estimate.learn(videoOf("slow", { timings: { encoding: 1, denoising: 600, decoding: 2, saving: 1 } }));
  close(estimate.seconds(SMALL), 10);
});

test("an upload that waited for the object store does not count, even if it was one of two", () => {
  const estimate = experienced();
  estimate.learn(videoOf("waited", { timings: { encoding: 1, denoising: 6, decoding: 2, saving: 1, uploading: 60 } }));
  close(estimate.seconds(SMALL), 10);
});

test("only the newest 24 videos count, in whatever order they are read", () => {
  const estimate = new Estimate();
  for (let n = 0; n < 24; n += 1) estimate.learn(videoOf(`new${n}`, { completed_at: 2_000 + n }));
  const slow = { encoding: 1, denoising: 60, decoding: 2, saving: 1 };
  for (let n = 0; n < 100; n += 1) estimate.learn(videoOf(`old${n}`, { completed_at: n, timings: slow }));
  close(estimate.seconds(SMALL), 10);
});

test("a video without settings has no effort, and one without guidance has none of that", () => {
  equal(effortOf(videoOf("v1", { num_frames: null })), null);
  equal(effortOf(videoOf("v1", { guidance_scale: null }))?.guidance_scale, 0);
});

test("the reference has the model's defaults", () => {
  const span = { min: 1, max: 100, default: 16 };
  const model = {
    id: "m", title: "M", demo: true, sizes: [], default_size: "96x64", example_prompts: [], max_text_tokens: 256,
    num_frames: { ...span, default: 25, multiple: 6 }, fps: span, num_inference_steps: span,
    guidance_scale: { ...span, default: 9 }, qualities: /** @type {("exact" | "fast")[]} */ (["exact"]),
  };
  equal(JSON.stringify(defaultEffort(model)), JSON.stringify(SMALL));
});
