import { equal } from "node:assert/strict";
import { test } from "node:test";
import { coveredHeight } from "../../ui/browser/keyboard.js";

test("an on-screen keyboard covers what is out of view at the bottom", () => {
  equal(coveredHeight(800, { height: 460, offsetTop: 0, scale: 1 }), 340);
  equal(coveredHeight(800, { height: 460, offsetTop: 100, scale: 1 }), 240, "the page has moved up");
  equal(coveredHeight(800, { height: 800, offsetTop: 0, scale: 1 }), 0);
});

test("zooming in covers nothing", () => {
  equal(coveredHeight(800, { height: 400, offsetTop: 200, scale: 2 }), 0);
});
