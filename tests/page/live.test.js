import { deepEqual, equal, ok } from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ApiError } from "../../ui/server/api.js";
import { ALL_VIDEOS } from "../../ui/server/query.js";
import { Library } from "../../ui/videos/library.js";
import { Live } from "../../ui/videos/live.js";
import { FakeApi, fakeDocument, fakeWindow, newBrowser, settle, videoOf } from "./fakes.js";

/** @typedef {import("../../ui/server/api.js").Api} Api */

let api = new FakeApi();
let library = new Library(api);
/** @type {{error: ApiError | null, live: boolean}[]} */
let reports = [];

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  api = new FakeApi();
  library = new Library(api);
  reports = [];
  newBrowser();
});
afterEach(() => mock.timers.reset());

/** @param {number} milliseconds */
async function wait(milliseconds) {
  await settle();
  mock.timers.tick(milliseconds);
  await settle();
}

/** Started, with the first page read and the event stream open. */
async function start() {
  const live = new Live(/** @type {Api} */ (/** @type {unknown} */ (api)), library, (error, isLive) => {
    reports.push({ error, live: isLive });
  });
  live.start();
  await wait(0);
  api.send("id: 1\n\n");
  await wait(0);
  api.requests = [];
  return live;
}

/** @param {string} name @param {string} id @param {object} [data] */
function sendEvent(name, id, data = {}) {
  api.send(`id: 2\ndata: ${JSON.stringify({ type: `dev.kinora.video.${name}.v1`, subject: id, data })}\n\n`);
}

test("the list is read first, then the event stream is opened", async () => {
  api.stored = [videoOf("v1")];
  await start();
  deepEqual(library.ids, ["v1"]);
  deepEqual(api.resumedAfter, [null]);
  equal(reports.at(-1)?.live, true);
});

test("the list is read again when the stream opens and when it breaks off, as events may be missing", async () => {
  const live = start();
  await wait(0);
  api.stored = [videoOf("v1")];
  await live;
  deepEqual(library.ids, ["v1"]);
  api.stored = [videoOf("v2"), videoOf("v1")];
  api.stream?.close();
  await wait(0);
  deepEqual(library.ids, ["v2", "v1"]);
});

test("an id that the server no longer knows is not sent again", async () => {
  await start();
  const { events } = api;
  api.events = async (lastEventId) => {
    api.resumedAfter.push(lastEventId);
    throw new ApiError(400, {});
  };
  api.stream?.close();
  await wait(1_000);
  api.events = events;
  await wait(2_000);
  deepEqual(api.resumedAfter, [null, "1", null]);
});

test("an event during an update leads to another one", async () => {
  api.stored = [videoOf("v1")];
  await start();
  const read = api.video.bind(api);
  /** @type {() => void} */
  let respond = () => {};
  api.video = (id) => new Promise((resolve) => (respond = () => resolve(read(id))));
  sendEvent("completed", "v1");
  await wait(200);
  api.video = read;
  api.stored = [videoOf("v2"), videoOf("v1")];
  sendEvent("requested", "v2");
  await settle();
  respond();
  await wait(200);
  deepEqual(library.ids, ["v2", "v1"]);
});

test("a burst of events about a video is one request", async () => {
  await start();
  api.stored = [videoOf("v1", { status: "in_progress", progress: 0 })];
  sendEvent("requested", "v1");
  sendEvent("started", "v1");
  await wait(200);
  deepEqual(api.reads, ["v1"]);
  equal(library.get("v1")?.status, "in_progress");
});

test("many changed videos are read as one list", async () => {
  await start();
  api.stored = Array.from({ length: 20 }, (_, place) => videoOf(`v${place}`));
  for (const { id } of api.stored) sendEvent("completed", id);
  await wait(200);
  deepEqual(api.reads, []);
  deepEqual(api.requests, ["limit=100"]);
  equal(library.ids.length, 20);
});

test("progress is shown from the event alone", async () => {
  api.stored = [videoOf("v1", { status: "in_progress", progress: 10 })];
  await start();
  sendEvent("progressed", "v1", { progress: 40, stage: "denoising" });
  await wait(0);
  equal(library.get("v1")?.progress, 40);
  deepEqual(api.reads, []);
});

test("a deleted video disappears without a request", async () => {
  api.stored = [videoOf("v1")];
  await start();
  sendEvent("deleted", "v1");
  await wait(0);
  deepEqual(library.ids, []);
  deepEqual(api.requests, []);
});

test("a video that is gone when it is read disappears", async () => {
  api.stored = [videoOf("v1")];
  await start();
  api.stored = [];
  sendEvent("completed", "v1");
  await wait(200);
  deepEqual(library.ids, []);
});

test("a new video during a search is shown once the server has found it", async () => {
  await start();
  await library.show({ ...ALL_VIDEOS, q: "whale" });
  api.requests = [];
  api.stored = [videoOf("v1")];
  library.put(videoOf("v1"));
  library.put(videoOf("v2"));
  deepEqual(library.ids, []);
  await wait(120);
  deepEqual(library.ids, ["v1"]);
  deepEqual(api.requests, ["limit=100&q=whale"], "one request for both");
});

test("during a search, new videos lead to one question, and their progress to none", async () => {
  await start();
  await library.show({ ...ALL_VIDEOS, q: "whale" });
  api.requests = [];
  for (const id of ["v1", "v2", "v3"]) sendEvent("requested", id);
  await wait(120);
  deepEqual([api.requests, api.reads], [["limit=100&q=whale"], []]);
  for (const progress of [10, 20, 30]) sendEvent("progressed", "v1", { progress });
  await wait(120);
  deepEqual([api.requests.length, api.reads], [1, []]);
});

test("events without a pause do not put off the update", async () => {
  await start();
  api.stored = [videoOf("v1")];
  for (let n = 0; n < 5; n += 1) {
    sendEvent("requested", "v1");
    await wait(60);
  }
  deepEqual(library.ids, ["v1"]);
});

test("a reset of the stream reads the list again", async () => {
  await start();
  api.stored = [videoOf("v1")];
  api.send("event: reset\ndata: {}\n\n");
  await wait(200);
  deepEqual(library.ids, ["v1"]);
});

test("a stream that breaks off is resumed after the last event", async () => {
  await start();
  sendEvent("deleted", "v9");
  await settle();
  api.stream?.close();
  await wait(1_000);
  deepEqual(api.resumedAfter, [null, "2"]);
});

test("an event that can't be handled comes once, and the list is read instead", async () => {
  /** @type {unknown[]} */
  const reported = [];
  Object.assign(globalThis, { reportError: (/** @type {unknown} */ error) => reported.push(error) });
  await start();
  api.stored = [videoOf("v1")];
  api.send("id: 2\ndata: {\n\n");
  await wait(1_000);
  api.send("id: 3\ndata: {}\n\n");
  await wait(2_000);
  deepEqual(api.resumedAfter, [null, "2", "3"]);
  equal(reported.length, 2);
  deepEqual(library.ids, ["v1"]);
});

test("an event that one tab can't handle reaches the others", async () => {
  Object.assign(globalThis, { reportError: () => {} });
  /** @type {unknown[]} */
  const posted = [];
  class Recorder extends BroadcastChannel {
    /** @override @param {unknown} message */
    postMessage(message) {
      posted.push(message);
    }
  }
  Object.assign(globalThis, { BroadcastChannel: Recorder });
  await start();
  api.send("id: 2\ndata: {\n\n");
  await wait(0);
  deepEqual(posted.at(-2), { event: { id: "2", type: "message", data: "{" } });
});

test("without the event stream the list is polled", async () => {
  api.events = () => Promise.reject(new ApiError(503, {}, 60));
  await start();
  equal(reports.at(-1)?.live, false);
  await wait(5_000);
  deepEqual(api.requests, ["limit=100"]);
});

test("a hidden page without the event stream is not polled", async () => {
  api.events = () => Promise.reject(new ApiError(503, {}, 60));
  await start();
  fakeDocument.hidden = true;
  await wait(5_000);
  api.requests = [];
  await wait(50_000);
  deepEqual(api.requests, []);
});

test("active videos are updated every few seconds, and one that ended without an event is read", async () => {
  api.stored = [videoOf("v1", { status: "in_progress", progress: 10 })];
  await start();
  api.stored = [videoOf("v1")];
  await wait(4_000);
  deepEqual(api.requests.map((query) => new URLSearchParams(query).get("status")), ["queued,in_progress"]);
  equal(library.get("v1")?.status, "completed");
});

test("nothing is requested for a minute while nothing is active", async () => {
  api.stored = [videoOf("v1")];
  await start();
  await wait(59_000);
  deepEqual(api.requests, []);
});

test("after failures the waits double up to eight seconds", async () => {
  await start();
  api.error = new ApiError(0, {});
  fakeWindow.dispatchEvent(new Event("offline"));
  await wait(0);
  const waits = [];
  while (waits.length < 6) {
    const before = reports.length;
    let waited = 0;
    for (; reports.length === before; waited += 500) await wait(500);
    waits.push(waited);
  }
  deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  ok(reports.at(-1)?.error);
});

test("a wait that the server asks for is respected", async () => {
  await start();
  api.error = new ApiError(429, {}, 20);
  fakeWindow.dispatchEvent(new Event("offline"));
  await wait(0);
  api.requests = [];
  await wait(19_000);
  deepEqual(api.requests, []);
  await wait(1_000);
  equal(api.requests.length, 1);
});

test("a hidden page does not follow places in the queue", async () => {
  api.stored = [videoOf("v1", { status: "queued", progress: 0, queue_position: 3 })];
  await start();
  fakeDocument.hidden = true;
  await wait(4_000);
  api.requests = [];
  await wait(55_000);
  deepEqual(api.requests, []);
});

test("coming back online updates at once", async () => {
  await start();
  api.stored = [videoOf("v1")];
  fakeWindow.dispatchEvent(new Event("online"));
  await wait(0);
  deepEqual(library.ids, ["v1"]);
});

test("once stopped, nothing is requested or reported, whatever happens", async () => {
  const live = await start();
  api.stored = [videoOf("v1")];
  fakeWindow.dispatchEvent(new Event("offline"));
  live.stop();
  const reported = reports.length;
  sendEvent("requested", "v1");
  fakeWindow.dispatchEvent(new Event("online"));
  await wait(120_000);
  deepEqual([api.requests, api.reads, api.resumedAfter], [[], [], [null]]);
  equal(reports.length, reported);
});

test("an update that is under way at the stop opens no event stream", async () => {
  let respond = () => {};
  const { videos } = api;
  api.videos = (query) => new Promise((resolve) => (respond = () => resolve(videos.call(api, query))));
  const live = new Live(/** @type {Api} */ (/** @type {unknown} */ (api)), library, () => reports.push({ error: null, live: true }));
  live.start();
  await wait(0);
  live.stop();
  respond();
  await wait(0);
  deepEqual([api.resumedAfter, reports], [[], []]);
});

test("progress carries the number of the newest preview", async () => {
  api.stored = [videoOf("v1", { status: "in_progress", progress: 10, preview: null })];
  await start();
  sendEvent("progressed", "v1", { progress: 30, stage: "denoising", attempt: 1, preview: 1 });
  await settle();
  equal(library.get("v1")?.preview, 1);
  sendEvent("progressed", "v1", { progress: 0, stage: "encoding", attempt: 2 });
  await settle();
  equal(library.get("v1")?.preview, null);
});
