import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Submission } from "../../ui/compose/submission.js";
import { Api, contentPath, newIdempotencyKey } from "../../ui/server/api.js";
import { backoffMs } from "../../ui/server/backoff.js";
import { newBrowser, settle, videoOf } from "./fakes.js";

/** @typedef {import("../../ui/server/session.js").Session} Session */

/** @type {{method: string, path: string, key: string | undefined, authorization: string | undefined}[]} */
let requests = [];
/** @type {(Response | "lost")[]} */
let responses = [];
let rejections = 0;
let api = newApi();

function newApi() {
  const session = { signedIn: true, headers: { Authorization: "Bearer k" }, reject: () => (rejections += 1) };
  return new Api(/** @type {Session} */ (/** @type {unknown} */ (session)));
}

/** @param {string} path @param {RequestInit} init */
async function fakeFetch(path, { method = "GET", headers }) {
  const { Authorization, "Idempotency-Key": key } = /** @type {Record<string, string | undefined>} */ (headers);
  requests.push({ method, path, key, authorization: Authorization });
  const response = responses.shift() ?? "lost";
  if (response === "lost") throw new TypeError("Failed to fetch");
  return response;
}

beforeEach(() => {
  newBrowser();
  mock.timers.enable({ apis: ["setTimeout"] });
  [requests, responses, rejections, api] = [[], [], 0, newApi()];
  Object.assign(globalThis, { fetch: fakeFetch });
});
afterEach(() => mock.timers.reset());

/** @param {number} status @param {unknown} body @param {Record<string, string>} [headers] */
const json = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });
const accepted = () => json(200, videoOf("v1"));

test("every request has the key of the session", async () => {
  responses = [json(200, videoOf("v1"))];
  equal((await api.video("v1")).id, "v1");
  deepEqual(requests, [{ method: "GET", path: "/v1/videos/v1", key: undefined, authorization: "Bearer k" }]);
});

test("a prefetched response is used instead of a request", async () => {
  api = new Api(api.session, (path) => path === "/v1/videos/v1" ? Promise.resolve(json(200, videoOf("v1"))) : undefined);
  equal((await api.video("v1")).id, "v1");
  deepEqual(requests, []);
});

test("a file has the name that the server gives it, in any script", async () => {
  const named = "inline; filename=\"video_seed-7.mp4\"; filename*=UTF-8''%E7%8C%AB_seed-7.mp4";
  responses = [new Response("mp4", { headers: { "content-disposition": named, "content-type": "video/mp4" } })];
  const file = await api.content("v1", "video");
  deepEqual([file.name, file.type, await file.text()], ["猫_seed-7.mp4", "video/mp4", "mp4"]);
  responses = [new Response("mp4")];
  equal((await api.content("v1", "video")).name, "v1");
});

test("an error has the server's message, parameter, code and wait", async () => {
  responses = [json(429, { error: { message: "Too many.", param: "prompt", code: "queue_full" } }, { "Retry-After": "7" })];
  await rejects(api.video("v1"), {
    name: "ApiError", status: 429, message: "Too many.", param: "prompt", code: "queue_full", retryAfterMs: 7_000,
  });
});

test("a refused key is reported to the session", async () => {
  responses = [json(401, {})];
  await rejects(api.video("v1"), { status: 401 });
  equal(rejections, 1);
});

test("a page that is no JSON, such as a captive portal's, is an error of the gateway", async () => {
  responses = [new Response("<html>", { status: 200 })];
  await rejects(api.video("v1"), { status: 502, temporary: true, unreachable: true });
});

test("ids are encoded in paths", () => {
  equal(contentPath("a/b?c", "video"), "/v1/videos/a%2Fb%3Fc/content");
  equal(contentPath("v1", "thumbnail"), "/v1/videos/v1/content?variant=thumbnail");
});

test("a lost response is retried once, with the same idempotency key", async () => {
  responses = ["lost", accepted()];
  const created = api.create({ prompt: "x" }, "key-1");
  await settle();
  mock.timers.tick(1_000);
  equal((await created).id, "v1");
  deepEqual(requests.map(({ key }) => key), ["key-1", "key-1"]);
});

test("a refused request is not retried", async () => {
  responses = [json(400, {})];
  await rejects(api.create({ prompt: "x" }, "key-1"), { status: 400 });
  equal(requests.length, 1);
});

test("where crypto.randomUUID is missing, keys are still unique", () => {
  const { randomUUID } = crypto;
  Object.defineProperty(crypto, "randomUUID", { configurable: true, value: undefined });
  const keys = new Set(Array.from({ length: 50 }, newIdempotencyKey));
  Object.defineProperty(crypto, "randomUUID", { configurable: true, value: randomUUID });
  equal(keys.size, 50);
  ok([...keys].every((key) => /^[0-9a-f]{32}$/.test(key)));
});

test("the same request has the same key until its outcome is known", async () => {
  const submission = new Submission(api, () => {}, () => {});
  const send = async () => {
    const result = submission.send([{ prompt: "x", seed: 1 }]);
    for (let tries = 0; tries < 2; tries += 1) {
      await settle();
      mock.timers.tick(1_000);
    }
    return result;
  };
  responses = ["lost", "lost", json(503, {}), accepted(), accepted()];
  deepEqual([(await send()).accepted, (await send()).accepted, (await send()).accepted], [0, 0, 1]);
  equal(new Set(requests.map(({ key }) => key)).size, 1);
  await send();
  equal(new Set(requests.map(({ key }) => key)).size, 2);
});

test("variations are sent in order until one is refused", async () => {
  /** @type {string[]} */
  const created = [];
  /** @type {string[][]} */
  const sent = [];
  const submission = new Submission(api, ({ id }) => created.push(id), (videos) => sent.push(videos.map(({ id }) => id)));
  responses = [accepted(), json(429, { error: { code: "queue_full" } })];
  const { accepted: count, error } = await submission.send([1, 2, 3].map((seed) => ({ prompt: "x", seed })));
  deepEqual([count, error?.code, requests.length, created.length], [1, "queue_full", 2, 1]);
  deepEqual(sent, [created], "what was created is told once, at the end");
});

test("waits double from one second to eight, and are never shorter than the server asks", () => {
  deepEqual([0, 1, 2, 3, 4, 50].map((failures) => backoffMs(failures)), [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  equal(backoffMs(0, 30_000), 30_000);
  equal(backoffMs(3, 500), 8_000);
});
