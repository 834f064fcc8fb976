import { deepEqual, equal } from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ApiError } from "../../ui/server/api.js";
import { Library } from "../../ui/videos/library.js";
import { PendingDeletions } from "../../ui/videos/pending_deletions.js";
import { FakeApi, fakeWindow, newBrowser, settle, videoOf } from "./fakes.js";

/** @typedef {import("../../ui/server/api.js").Api} Api */

/** @type {string[]} */
let deleted = [];
/** @type {ApiError | null} */
let error = null;
/** @type {{undo: () => void, confirm: () => void}[]} */
let offers = [];
/** @type {string[]} */
let failed = [];
const video = videoOf("v1");
let library = new Library(new FakeApi());
/** @type {PendingDeletions} */
let deletions;

beforeEach(async () => {
  newBrowser();
  [deleted, error, offers, failed] = [[], null, [], []];
  const list = new FakeApi();
  list.stored = [video, videoOf("v2", { created_at: 900 })];
  library = new Library(list);
  await library.reload();
  const remove = async (/** @type {string} */ id) => {
    deleted.push(id);
    if (error) throw error;
  };
  deletions = new PendingDeletions(/** @type {Api} */ (/** @type {unknown} */ ({ remove })), library, {
    offerUndo: (undo, confirm) => offers.push({ undo, confirm }),
    onFailed: ({ id }) => failed.push(id),
  });
});

test("a video leaves the list at once, and the server when there is no undo any more", async () => {
  deletions.add(video);
  deepEqual(library.ids, ["v2"]);
  deepEqual(deleted, []);
  offers[0]?.confirm();
  await settle();
  deepEqual(deleted, ["v1"]);
  equal(library.get("v1"), undefined);
});

test("undo brings the video back, and nothing is deleted", async () => {
  deletions.add(video);
  offers[0]?.undo();
  offers[0]?.confirm();
  await settle();
  deepEqual(library.ids, ["v1", "v2"]);
  deepEqual(deleted, []);
});

test("a second deletion of the same video offers nothing new", () => {
  deletions.add(video);
  deletions.add(video);
  equal(offers.length, 1);
});

test("leaving the page deletes what is pending, once", async () => {
  deletions.add(video);
  fakeWindow.dispatchEvent(new Event("pagehide"));
  offers[0]?.confirm();
  await settle();
  deepEqual(deleted, ["v1"]);
});

for (const status of [404, 410]) {
  test(`a video that was already deleted elsewhere is no failure (${status})`, async () => {
    error = new ApiError(status, {});
    deletions.add(video);
    offers[0]?.confirm();
    await settle();
    deepEqual(failed, []);
    deepEqual(library.ids, ["v2"]);
  });
}

test("a refused deletion brings the video back, and is reported", async () => {
  error = new ApiError(503, {});
  deletions.add(video);
  offers[0]?.confirm();
  await settle();
  deepEqual(failed, ["v1"]);
  deepEqual(library.ids, ["v1", "v2"]);
});
