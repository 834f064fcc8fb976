import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { targetIndex } from "../../ui/gallery/keyboard.js";
import { heightOf, indexesBetween, layoutFor, positionOf } from "../../ui/gallery/layout.js";

const LAYOUT = { columns: 3, width: 100, height: 90, gap: 10 };

test("as many columns as fit share the width", () => {
  deepEqual(layoutFor(320, { least: 100, gap: 10, text: 34 }), { columns: 3, width: 100, gap: 10, height: 90 });
  equal(layoutFor(319, { least: 100, gap: 10, text: 34 }).columns, 2);
  equal(layoutFor(50, { least: 100, gap: 10, text: 34 }).columns, 1);
});

test("positions follow from indexes, row by row", () => {
  deepEqual([0, 2, 3].map((index) => positionOf(LAYOUT, index)), [{ x: 0, y: 0 }, { x: 220, y: 0 }, { x: 0, y: 100 }]);
});

test("the grid ends with its last row", () => {
  deepEqual([0, 1, 3, 4].map((count) => heightOf(LAYOUT, count)), [0, 90, 90, 190]);
});

test("whole rows are shown, from the one at the top to the one at the bottom", () => {
  deepEqual(indexesBetween(LAYOUT, 150, 250, 30), { first: 3, last: 9 });
  deepEqual(indexesBetween(LAYOUT, -500, 50, 30), { first: 0, last: 3 });
  deepEqual(indexesBetween(LAYOUT, 0, 5_000, 7), { first: 0, last: 7 });
  deepEqual(indexesBetween(LAYOUT, 5_000, 6_000, 7), { first: 7, last: 7 });
});

/** @param {string} key @param {number} index @param {object} [modifiers] */
function press(key, index, modifiers = {}) {
  const event = { key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...modifiers };
  return targetIndex(/** @type {KeyboardEvent} */ (event), index, 8, LAYOUT);
}

test("arrows lead to the neighbours, Home and End to the first and the last card", () => {
  const keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
  deepEqual(keys.map((key) => press(key, 4)), [3, 5, 1, 7, 0, 7]);
});

test("at the edges a key leads to the nearest card, or nowhere", () => {
  equal(press("ArrowDown", 6), 7);
  equal(press("ArrowUp", 1), 0);
  equal(press("ArrowLeft", 0), null);
  equal(press("End", 7), null);
});

test("other keys, and keys with modifiers, are left to the browser", () => {
  equal(press("a", 4), null);
  equal(press("ArrowLeft", 4, { altKey: true }), null);
});
