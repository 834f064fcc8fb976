import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { lengthChoices, nearestCount } from "../../ui/compose/lengths.js";

const SPAN = { min: 7, max: 163, default: 121, multiple: 6 };

test("whole seconds are offered, with the default and the longest", () => {
  deepEqual(lengthChoices(SPAN, 30), [31, 61, 91, 121, 151, 163]);
});

test("where the frame rate has no whole seconds, lengths are spread evenly", () => {
  const choices = lengthChoices({ ...SPAN, default: 25 }, 7.5);
  ok(choices.length === 6 && choices.includes(25) && choices.includes(163));
});

test("there are at most six, in order, each one that the model can render", () => {
  for (const fps of [1, 2, 5, 6, 8, 12, 24, 25, 30, 60]) {
    const choices = lengthChoices(SPAN, fps);
    ok(choices.length <= 6 && choices.includes(121) && choices.includes(163));
    ok(choices.every((count) => (count - 1) % 6 === 0 && count >= 7 && count <= 163));
    deepEqual(choices, [...new Set(choices)].sort((a, b) => a - b));
  }
});

test("a model with few lengths offers all of them", () => {
  deepEqual(lengthChoices({ min: 7, max: 19, default: 13, multiple: 6 }, 12), [7, 13, 19]);
});

test("the frame count nearest to a length is one that the model can render", () => {
  equal(nearestCount(SPAN, 2 * 30), 61);
  equal(nearestCount(SPAN, 2 * 25), 49);
  equal(nearestCount(SPAN, 0), 7);
  equal(nearestCount(SPAN, 1_000), 163);
});
