import { equal } from "node:assert/strict";
import { test } from "node:test";
import { hasVisibleText } from "../../ui/compose/visible_text.js";

test("a text of spaces, controls, zero-width characters and fillers is empty", () => {
  for (const text of ["", " \n", "\0", "\u200b\u2060", "\ufeff", "\u3164", "\ufe0f", "\u2800", "\u{e0001}"]) {
    equal(hasVisibleText(text), false, JSON.stringify(text));
  }
});

test("text in any script and emoji are visible", () => {
  for (const text of ["x", "\u200bx", "猫", "\u0e41\u0e21\u0e27", "🎈", "❤\ufe0f", "."]) equal(hasVisibleText(text), true, text);
});
