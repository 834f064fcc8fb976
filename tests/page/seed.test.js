import { deepEqual, equal, ok } from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Seed } from "../../ui/compose/seed.js";

class FakeControl extends EventTarget {
  value = "";
  title = "";
  /** @type {string | null} */
  ariaPressed = "false";
}

/** @type {Record<string, FakeControl>} */
let controls = {};
/** @type {Seed} */
let seed;

beforeEach(() => {
  controls = { "#seed": new FakeControl(), "#seed-lock": new FakeControl(), "#seed-dice": new FakeControl() };
  Object.assign(globalThis, { HTMLInputElement: FakeControl, HTMLButtonElement: FakeControl });
  const form = { querySelector: (/** @type {string} */ selector) => controls[selector] };
  seed = new Seed(/** @type {HTMLFormElement} */ (/** @type {unknown} */ (form)));
});

/** @param {string} text */
function type(text) {
  Object.assign(controls["#seed"] ?? {}, { value: text });
  controls["#seed"]?.dispatchEvent(new Event("input"));
}

test("without a lock each request has a new seed", () => {
  const seeds = new Set(Array.from({ length: 20 }, () => seed.next(1)[0]));
  ok(seeds.size > 15);
});

test("a seed that was typed in is locked, and used again", () => {
  type("42");
  equal(seed.locked, true);
  deepEqual([seed.next(1), seed.next(1)], [[42], [42]]);
});

test("an empty field unlocks", () => {
  type("42");
  type("");
  equal(seed.locked, false);
});

test("variations have the following seeds, and start again after the largest", () => {
  type("4294967294");
  deepEqual(seed.next(4), [4294967294, 4294967295, 0, 1]);
});

test("locking an empty field draws a seed to keep", () => {
  controls["#seed-lock"]?.dispatchEvent(new Event("click"));
  equal(seed.locked, true);
  const [drawn] = seed.next(1);
  deepEqual(seed.next(1), [drawn]);
  equal(controls["#seed"]?.value, String(drawn));
});

test("a remix locks the seed of its video", () => {
  seed.lockTo(0);
  equal(seed.locked, true);
  deepEqual(seed.next(2), [0, 1]);
});

test("the dice draws a seed within the API's range, and reports a change", () => {
  let changes = 0;
  controls["#seed"]?.addEventListener("change", () => (changes += 1));
  controls["#seed-dice"]?.dispatchEvent(new Event("click"));
  const drawn = Number(controls["#seed"]?.value);
  ok(Number.isInteger(drawn) && drawn >= 0 && drawn < 2 ** 32);
  equal(changes, 1);
});
