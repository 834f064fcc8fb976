import { ApiError } from "../server/api.js";
import { SharedFeed } from "../server/shared_feed.js";
import { isActive } from "./state.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/sse.js").Sent} Sent */
/** @typedef {import("../server/types.js").VideoEvent} VideoEvent */
/** @typedef {import("./library.js").Library} Library */

// Events come in bursts; one look answers all of a burst.
const SETTLE_MS = 120;
// Beyond so many videos to ask for one by one, the list is read instead.
const SINGLE_READS = 8;
// What no event tells: how the places in the queue and the times left change.
const ACTIVE_MS = 4_000;
const IDLE_MS = 60_000;
// Without the feed.
const POLL_ACTIVE_MS = 1_500;
const POLL_IDLE_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 8_000;

/** Keeps the library at one with the server: by its feed, and by asking where there is none. */
export class Live {
  /** @type {Set<string>} videos that something happened to */
  #touched = new Set();
  #failures = 0;
  #running = false;
  #again = false;
  /** Whether something may have happened that no event told. */
  #behind = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Api} api
   * @param {Library} library
   * @param {(error: ApiError | null, live: boolean) => void} report called after each look
   */
  constructor(api, library, report) {
    this.api = api;
    this.library = library;
    this.report = report;
    this.feed = new SharedFeed(api, (sent) => this.#hear(sent), (open, resumed) => {
      this.#behind ||= !open || !resumed;
      this.soon(0);
    });
    document.addEventListener("visibilitychange", () => this.soon(0));
    for (const type of ["online", "offline"]) {
      window.addEventListener(type, () => {
        this.#behind = true;
        this.soon(0);
      });
    }
  }

  start() {
    this.soon(0);
  }

  /** Look at the latest after so many milliseconds. @param {number} [wait] */
  soon(wait = SETTLE_MS) {
    clearTimeout(this.#timer);
    if (this.#running) this.#again = true;
    else this.#timer = setTimeout(() => this.#look(), wait);
  }

  /** @param {Sent} sent */
  #hear(sent) {
    if (sent.type === "reset") {
      this.#behind = true;
      return this.soon();
    }
    /** @type {VideoEvent} */
    const { type, subject: id, data } = JSON.parse(sent.data);
    const name = type.split(".").at(-2);
    if (name === "deleted") return this.library.remove(id);
    const video = this.library.get(id);
    if (name === "progressed" && video && isActive(video)) {
      const { progress = 0, stage = null, attempt = video.attempt } = data;
      const told = { status: /** @type {const} */ ("in_progress"), progress, stage, attempt };
      this.library.put({ ...video, ...told, queue_position: null, eta_seconds: null });
    } else {
      this.#touched.add(id);
      this.soon();
    }
  }

  async #look() {
    this.#running = true;
    this.#again = false;
    let wait = LAST_RETRY_MS;
    try {
      await this.#read();
      // Not before: the list is what one waits for.
      this.feed.start();
      this.#failures = 0;
      this.report(null, this.feed.open);
      wait = this.#rest();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#behind = true;
      wait = Math.max(error.retryAfterMs, Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures));
      this.#failures += 1;
      this.report(error, this.feed.open);
    } finally {
      this.#running = false;
      this.soon(this.#again ? SETTLE_MS : wait);
    }
  }

  /** How long nothing needs to be looked at. */
  #rest() {
    const active = this.library.active.length > 0;
    if (this.feed.open) return active && !document.hidden ? ACTIVE_MS : IDLE_MS;
    if (document.hidden) return IDLE_MS;
    return active ? POLL_ACTIVE_MS : POLL_IDLE_MS;
  }

  async #read() {
    const touched = this.#touched;
    this.#touched = new Set();
    try {
      if (this.#behind || !this.feed.open || touched.size > SINGLE_READS) {
        this.#behind = false;
        await this.library.refresh();
      } else {
        await Promise.all([...touched].map((id) => this.#readOne(id)));
      }
      if (this.library.active.length > 0) await this.#readActive();
    } catch (error) {
      for (const id of touched) this.#touched.add(id);
      throw error;
    }
  }

  /** Places in the queue, times left; and which of the videos under way have ended unheard. */
  async #readActive() {
    const asked = this.library.active.map(({ id }) => id);
    const query = new URLSearchParams({ status: "queued,in_progress", order: "asc", limit: "100" });
    const page = await this.api.videos(query);
    for (const video of page.data) this.library.put(video);
    const listed = new Set(page.data.map(({ id }) => id));
    if (page.has_more) return;
    const ended = asked.filter((id) => !listed.has(id)).slice(0, SINGLE_READS);
    await Promise.all(ended.map((id) => this.#readOne(id)));
  }

  /** @param {string} id */
  async #readOne(id) {
    try {
      this.library.put(await this.api.video(id));
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
      this.library.remove(id);
    }
  }
}
