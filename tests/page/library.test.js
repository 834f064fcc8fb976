import { deepEqual, equal } from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { ALL_VIDEOS } from "../../ui/server/query.js";
import { Library } from "../../ui/videos/library.js";
import { FakeApi, videoOf } from "./fakes.js";

const api = new FakeApi();
let library = new Library(api);

beforeEach(() => {
  Object.assign(api, new FakeApi());
  library = new Library(api);
});
afterEach(() => mock.timers.reset());

/** Videos named after `numbers`, of which higher ones are newer. @param {...number} numbers */
const videos = (...numbers) => numbers.map((n) => videoOf(`v${n}`, { created_at: 1_000 + n }));
/** @param {number} count */
const many = (count) => videos(...Array.from({ length: count }, (_, place) => count - place));
const ids = (/** @type {{id: string}[]} */ list) => list.map(({ id }) => id);
const after = (/** @type {string} */ query) => new URLSearchParams(query).get("after");

/** Read all pages, but no more than a list of the tests can have. */
async function readAll() {
  for (let pages = 0; library.hasMore && pages < 10; pages += 1) await library.more();
}

test("pages are read one after another, each video once and in the server's order", async () => {
  api.stored = many(250);
  await library.reload();
  await readAll();
  deepEqual(library.ids, ids(api.stored));
  deepEqual(api.requests.map(after), [null, "v221", "v121", "v21"]);
});

test("the next page starts after the API's last_id, even if nothing of the last page is shown", async () => {
  api.stored = many(250).map((video) => ({ ...video, status: "queued" }));
  await library.show({ ...ALL_VIDEOS, status: "queued" });
  for (const video of api.stored) library.put({ ...video, status: "completed" });
  deepEqual(library.ids, []);
  await readAll();
  deepEqual(api.requests.map(after), [null, "v221", "v121", "v21"]);
  deepEqual(library.ids, []);
});

test("a server that repeats a page is not queried in a loop", async () => {
  api.stored = many(100);
  await library.reload();
  api.videos = async (query) => {
    api.requests.push(String(query));
    return { data: api.stored.slice(0, 30), last_id: "v71", has_more: true };
  };
  await readAll();
  equal(api.requests.length, 2);
  api.videos = FakeApi.prototype.videos;
});

test("an empty page ends the list, whatever it says about more", async () => {
  api.stored = many(100);
  await library.reload();
  api.videos = async () => ({ data: [], last_id: null, has_more: true });
  await library.more();
  equal(library.hasMore, false);
  api.videos = FakeApi.prototype.videos;
});

test("what the server finds is shown, whatever its prompt", async () => {
  api.stored = [videoOf("v1", { prompt: "Straße" }), videoOf("v2", { prompt: "something else" })];
  await library.show({ ...ALL_VIDEOS, q: "strasse" });
  deepEqual(library.ids, ["v1", "v2"]);
  library.put(videoOf("v2", { prompt: "something else", expires_at: 9_001 }));
  deepEqual(library.ids, ["v1", "v2"]);
});

test("who waits for the list gets it, even if another call reads it again in the meantime", async () => {
  api.stored = videos(1);
  const shown = library.show(ALL_VIDEOS);
  /** @type {() => void} */
  let answer = () => {};
  const asked = new Promise((resolve) => (answer = () => resolve(undefined)));
  api.videos = async (query) => {
    await asked;
    return FakeApi.prototype.videos.call(api, query);
  };
  const again = library.refresh();
  setTimeout(answer);
  await shown;
  deepEqual([library.loaded, library.ids], [true, ["v1"]]);
  await again;
  api.videos = FakeApi.prototype.videos;
});

test("during a search, the server is asked once about each video that it has not listed", async () => {
  await library.show({ ...ALL_VIDEOS, q: "strasse", status: "completed" });
  let asked = 0;
  library.onUnknown = () => (asked += 1);
  library.put(videoOf("v1", { status: "queued" }));
  equal(asked, 0, "it is not completed, so it is not listed anyway");
  library.put(videoOf("v1"));
  library.put(videoOf("v1", { expires_at: 9_001 }));
  equal(asked, 1);
  deepEqual(library.ids, []);
  api.stored = [videoOf("v1")];
  await library.refresh();
  deepEqual(library.ids, ["v1"]);
});

test("the server is asked again after a change, as its list may not have had the video before", async () => {
  await library.show({ ...ALL_VIDEOS, q: "strasse" });
  let asked = 0;
  library.onUnknown = () => (asked += 1);
  library.put(videoOf("v1", { status: "queued", progress: 0 }));
  for (const progress of [10, 20, 30]) library.put(videoOf("v1", { status: "in_progress", progress }));
  library.put(videoOf("v1"));
  equal(asked, 3, "once for each status");
});

test("a new query forgets what the server listed for the old one", async () => {
  api.stored = [videoOf("v1", { prompt: "Straße" })];
  await library.show({ ...ALL_VIDEOS, q: "strasse" });
  api.stored = [];
  await library.show({ ...ALL_VIDEOS, q: "whale" });
  library.put(videoOf("v1", { prompt: "Straße", expires_at: 9_001 }));
  deepEqual(library.ids, []);
});

test("a video older than all that was read waits for its page", async () => {
  api.stored = many(60);
  await library.reload();
  library.put(videoOf("v1", { created_at: 1_001, expires_at: 9_001 }));
  equal(library.ids.length, 30);
  await readAll();
  deepEqual(library.ids, ids(api.stored));
});

test("calls of more() during a request share it", async () => {
  api.stored = many(100);
  await library.reload();
  await Promise.all([library.more(), library.more(), library.more()]);
  equal(api.requests.length, 2);
});

test("a change of status moves a video in and out of a filtered list", async () => {
  const newer = videoOf("v2", { created_at: 1_002 });
  api.stored = [videoOf("v1", { status: "failed" })];
  await library.show({ ...ALL_VIDEOS, status: "failed" });
  library.put({ ...newer, status: "in_progress", progress: 50 });
  deepEqual(library.ids, ["v1"]);
  library.put({ ...newer, status: "failed" });
  deepEqual(library.ids, ["v2", "v1"]);
});

test("a refresh adds new videos and drops deleted ones", async () => {
  api.stored = videos(3, 2, 1);
  await library.reload();
  api.stored = videos(5, 4, 3, 1);
  await library.refresh();
  deepEqual(library.ids, ["v5", "v4", "v3", "v1"]);
});

test("a refresh keeps the server's order among videos of the same second", async () => {
  api.stored = [videoOf("a")];
  await library.reload();
  api.stored = [videoOf("c"), videoOf("b"), videoOf("a")];
  await library.refresh();
  deepEqual(library.ids, ["c", "b", "a"]);
});

test("a refresh that reaches further than the list extends it, and the next page starts there", async () => {
  api.stored = many(150);
  await library.reload();
  await library.refresh();
  equal(library.ids.length, 100);
  await library.more();
  equal(after(api.requests.at(-1) ?? ""), "v51");
  deepEqual(library.ids, ids(api.stored));
});

test("a refresh keeps what was read beyond its page", async () => {
  api.stored = many(250);
  await library.reload();
  await readAll();
  api.stored = api.stored.filter(({ id }) => id !== "v249" && id !== "v2");
  await library.refresh();
  equal(library.ids.includes("v249"), false);
  equal(library.ids.includes("v2"), true);
  equal(library.hasMore, false);
});

/** More than a page, and newer than all of `many`. */
const newer = Array.from({ length: 120 }, (_, place) => videoOf(`w${place}`, { created_at: 9_000 - place }));

test("a refresh without a video in common starts over, and drops a page that comes before it", async () => {
  api.stored = many(60);
  await library.reload();
  const more = library.more();
  api.stored = newer;
  await library.refresh();
  await more;
  deepEqual(library.ids, ids(newer).slice(0, 100));
  await library.more();
  deepEqual(library.ids, ids(newer));
});

test("a refresh without a video in common starts over, and ignores a page that comes after it", async () => {
  api.stored = many(60);
  await library.reload();
  const old = await api.videos(new URLSearchParams({ limit: "100", after: "v31" }));
  let respond = () => {};
  library.api = { videos: () => new Promise((resolve) => (respond = () => resolve(old))) };
  const more = library.more();
  library.api = api;
  api.stored = newer;
  await library.refresh();
  respond();
  await more;
  deepEqual(library.ids, ids(newer).slice(0, 100));
  await library.more();
  deepEqual(library.ids, ids(newer));
});

test("a video that an event adds during a refresh stays", async () => {
  api.stored = videos(2, 1);
  await library.reload();
  const refresh = library.refresh();
  library.put(videoOf("v3", { created_at: 1_003 }));
  await refresh;
  deepEqual(library.ids, ["v3", "v2", "v1"]);
});

test("a response to an earlier query is ignored", async () => {
  api.stored = [videoOf("v1", { status: "failed" }), videoOf("v2")];
  const first = library.show({ ...ALL_VIDEOS, status: "failed" });
  const second = library.show({ ...ALL_VIDEOS, status: "completed" });
  await Promise.all([first, second]);
  deepEqual(library.ids, ["v2"]);
});

test("a new video survives a list that lacks it for ten seconds", async () => {
  mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  api.stored = videos(1);
  await library.reload();
  library.add(videoOf("new", { created_at: 2_000 }));
  mock.timers.tick(9_000);
  await library.refresh();
  deepEqual(library.ids, ["new", "v1"]);
  mock.timers.tick(2_000);
  await library.refresh();
  deepEqual(library.ids, ["v1"]);
});

test("a new video is part of a list that is read anew, even if the server does not list it yet", async () => {
  api.stored = videos(1);
  library.add(videoOf("new", { created_at: 2_000 }));
  await library.show(ALL_VIDEOS);
  deepEqual(library.ids, ["new", "v1"]);
  await library.show({ ...ALL_VIDEOS, status: "failed" });
  deepEqual(library.ids, []);
});

test("a deleted video does not return with a response that was sent before", async () => {
  api.stored = videos(2, 1);
  await library.reload();
  library.remove("v1");
  await library.refresh();
  library.put(videoOf("v1"));
  deepEqual(library.ids, ["v2"]);
  equal(library.get("v1"), undefined);
});

test("a hidden video leaves the list until it is shown again", async () => {
  api.stored = videos(2, 1);
  await library.reload();
  library.hide("v2", true);
  deepEqual(library.ids, ["v1"]);
  library.hide("v2", false);
  deepEqual(library.ids, ["v2", "v1"]);
});

test("a failed request leaves the list as it was, and can be repeated", async () => {
  api.stored = many(60);
  await library.reload();
  const failing = library.api;
  library.api = { videos: () => Promise.reject(new TypeError("offline")) };
  await library.more().catch(() => {});
  equal(library.ids.length, 30);
  library.api = failing;
  await library.more();
  equal(library.ids.length, 60);
});

test("once cleared, nothing is known, and a page that was under way is ignored", async () => {
  api.stored = many(60);
  await library.reload();
  const more = library.more();
  library.clear();
  await more;
  deepEqual([library.ids, library.active, library.get("v60"), library.loaded], [[], [], undefined, false]);
});
