// Stand-ins for the browser and the server, with what the page's modules use of them.

import { setImmediate } from "node:timers/promises";
import { ApiError } from "../../ui/server/api.js";

/** @typedef {import("../../ui/server/types.js").Video} Video */
/** @typedef {import("../../ui/server/types.js").VideoPage} VideoPage */

class FakeDocument extends EventTarget {
  hidden = false;
}

class FakeChannel extends EventTarget {
  postMessage() {}
}

export let fakeDocument = new FakeDocument();
export let fakeWindow = new EventTarget();
newBrowser();

/** Forget all listeners. */
export function newBrowser() {
  fakeDocument = new FakeDocument();
  fakeWindow = new EventTarget();
  Object.assign(globalThis, { document: fakeDocument, window: fakeWindow, BroadcastChannel: FakeChannel });
}

/** A completed video; `fields` replace its own. @param {string} id @param {Partial<Video>} [fields] @returns {Video} */
export function videoOf(id, fields = {}) {
  return {
    id, model: "mochi-1-demo", status: "completed", progress: 100, stage: null,
    created_at: 1_000, started_at: 1_001, completed_at: 1_010, expires_at: 9_000,
    prompt: `prompt of ${id}`, negative_prompt: "", seconds: "2", size: "96x64", seed: 7,
    num_frames: 25, fps: 12, num_inference_steps: 16, guidance_scale: 9, quality: "exact", metadata: {},
    queue_position: null, eta_seconds: null, attempt: 1, error: null, warnings: [], output: null,
    timings: { encoding: 1, denoising: 6, decoding: 2, saving: 1 }, model_revision: "r",
    ...fields,
  };
}

/** Let promises that are ready continue. */
export async function settle() {
  for (let round = 0; round < 5; round += 1) await setImmediate();
}

/** The API's list, newest first, and a record of the requests. */
export class FakeApi {
  /** @type {Video[]} */
  stored = [];
  /** @type {string[]} query strings of the list */
  requests = [];
  /** @type {string[]} ids of single videos */
  reads = [];
  /** @type {ApiError | null} what all requests fail with */
  error = null;
  /** @type {ReadableStreamDefaultController<Uint8Array> | null} of the open event stream */
  stream = null;
  /** @type {(string | null)[]} the `lastEventId` of each event stream that was opened */
  resumedAfter = [];

  /** @param {URLSearchParams} query @returns {Promise<VideoPage>} */
  async videos(query) {
    this.requests.push(String(query));
    if (this.error) throw this.error;
    const statuses = query.get("status")?.split(",");
    const matching = this.stored.filter(({ status }) => statuses?.includes(status) ?? true);
    const limit = Number(query.get("limit"));
    const start = matching.findIndex(({ id }) => id === query.get("after")) + 1;
    const data = matching.slice(start, start + limit);
    return { data, last_id: data.at(-1)?.id ?? null, has_more: matching.length > start + limit };
  }

  /** @param {string} id */
  async video(id) {
    this.reads.push(id);
    if (this.error) throw this.error;
    const found = this.stored.find((video) => video.id === id);
    if (!found) throw new ApiError(404, {});
    return found;
  }

  /** @param {string | null} lastEventId @returns {Promise<ReadableStream<Uint8Array>>} */
  async events(lastEventId) {
    this.resumedAfter.push(lastEventId);
    if (this.error) throw this.error;
    return new ReadableStream({ start: (controller) => (this.stream = controller) });
  }

  /** Send text on the open event stream. @param {string} text */
  send(text) {
    this.stream?.enqueue(new TextEncoder().encode(text));
  }
}
