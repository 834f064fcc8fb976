import { deepEqual, equal } from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { WaitReason } from "../../ui/videos/wait_reason.js";

/** @typedef {import("../../ui/server/api.js").Api} Api */

let now = 0;
let problem = "";
let asked = 0;
/** @type {string[]} */
let reports = [];
let reason = create();

beforeEach(() => {
  mock.method(performance, "now", () => now);
  [now, problem, asked, reports] = [0, "", 0, []];
  reason = create();
});
afterEach(() => mock.restoreAll());

function create() {
  const api = { problem: async () => ((asked += 1), problem) };
  return new WaitReason(/** @type {Api} */ (/** @type {unknown} */ (api)), (text) => reports.push(text));
}

test("nothing is asked while no video waits", async () => {
  await reason.update(false);
  equal(asked, 0);
});

test("the server is asked every ten seconds, and each change is reported once", async () => {
  problem = "The object store refuses connections.";
  await reason.update(true);
  now = 9_999;
  await reason.update(true);
  equal(asked, 1);
  for (now of [10_000, 20_000]) await reason.update(true);
  problem = "";
  for (now of [30_000, 40_000]) await reason.update(true);
  deepEqual(reports, ["The object store refuses connections.", ""]);
  equal(asked, 5);
});

test("the reason goes with the last video that waits", async () => {
  problem = "The object store refuses connections.";
  await reason.update(true);
  await reason.update(false);
  deepEqual(reports, [problem, ""]);
});
