import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { lengthHint } from "../../ui/compose/prompt_length.js";

test("a prompt that the model may cut is told while it is typed, as an estimate", () => {
  equal(lengthHint("a red circle", 256), "");
  equal(lengthHint(` ${"x".repeat(1024)} `, 256), "");
  ok(lengthHint("x".repeat(1028), 256).includes("estimated 257 tokens; the model uses only the first 256"));
  equal(lengthHint("🎈".repeat(1024), 256), "");
});
