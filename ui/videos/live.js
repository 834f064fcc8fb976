import { ApiError } from "../server/api.js";
import { backoffMs } from "../server/backoff.js";
import { MAX_PAGE_SIZE } from "../server/query.js";
import { SharedFeed } from "../server/shared_feed.js";
import { isActive } from "./state.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/sse.js").ServerSentEvent} ServerSentEvent */
/** @typedef {import("../server/types.js").VideoEvent} VideoEvent */
/** @typedef {import("./library.js").Library} Library */

// Events come in bursts: one update covers a burst.
const DEBOUNCE_MS = 120;
// With more changed videos than this, the list is read instead of each video.
const MAX_SINGLE_READS = 8;
// Updates of what no event carries: places in the queue, and times left.
const ACTIVE_MS = 4_000;
const IDLE_MS = 60_000;
// Without the event stream.
const POLL_ACTIVE_MS = 1_500;
const POLL_IDLE_MS = 5_000;

/** Keeps the library in sync with the server: through the event stream, or else by polling. */
export class Live {
  /** @type {Set<string>} ids of videos to read again */
  #changed = new Set();
  #failures = 0;
  #running = false;
  #stopped = false;
  #again = false;
  /** Whether events may have been missed. */
  #stale = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** When the timer ends, on the clock of `performance.now()`. */
  #due = Infinity;

  /**
   * @param {Api} api
   * @param {Library} library
   * @param {(error: ApiError | null, live: boolean) => void} report called after each update
   */
  constructor(api, library, report) {
    this.api = api;
    this.library = library;
    this.report = report;
    this.feed = new SharedFeed(api, (event) => this.#onEvent(event), (open, resumed) => {
      this.#stale ||= !open || !resumed;
      this.schedule(0);
    });
    library.onUnknown = () => {
      this.#stale = true;
      this.schedule();
    };
    document.addEventListener("visibilitychange", () => this.schedule(0));
    for (const type of ["online", "offline"]) {
      window.addEventListener(type, () => {
        this.#stale = true;
        this.schedule(0);
      });
    }
  }

  start() {
    this.schedule(0);
  }

  /** Stop for good, without another report. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.feed.stop();
  }

  /** Update in `wait` milliseconds at the latest. @param {number} [wait] */
  schedule(wait = DEBOUNCE_MS) {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    const due = performance.now() + wait;
    // Events that never pause for longer than `wait` must not put off the update again and again.
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#update(), wait);
  }

  /** @param {ServerSentEvent} event */
  #onEvent(event) {
    if (event.type === "reset") {
      this.#stale = true;
      return this.schedule();
    }
    /** @type {VideoEvent} */
    const { type, subject: id, data } = JSON.parse(event.data);
    const name = type.split(".").at(-2);
    if (name === "deleted") return this.library.remove(id);
    const video = this.library.get(id);
    if (name === "progressed" && video && isActive(video)) {
      const { progress = 0, stage = null, attempt = video.attempt, preview = null } = data;
      const running = { status: /** @type {const} */ ("in_progress"), progress, stage, attempt, preview };
      this.library.put({ ...video, ...running, queue_position: null, eta_seconds: null });
    } else if (name !== "progressed" || !this.#searching) {
      // Progress of a video that a search has not found does not make it one that it finds.
      this.#changed.add(id);
      this.schedule();
    }
  }

  /** Whether only the server can tell if a video belongs to the list. */
  get #searching() {
    return this.library.query.q.trim() !== "";
  }

  async #update() {
    this.#running = true;
    this.#again = false;
    this.#due = Infinity;
    let wait = POLL_IDLE_MS;
    try {
      await this.#read();
      // The list comes first: people are waiting for it.
      if (!this.#stopped) this.feed.start();
      this.#failures = 0;
      this.#report(null);
      wait = this.#interval();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#stale = true;
      wait = backoffMs(this.#failures, error.retryAfterMs);
      this.#failures += 1;
      this.#report(error);
    } finally {
      this.#running = false;
      this.schedule(this.#again ? DEBOUNCE_MS : wait);
    }
  }

  /** @param {ApiError | null} error */
  #report(error) {
    if (!this.#stopped) this.report(error, this.feed.open);
  }

  /** How long until the next update, in milliseconds. */
  #interval() {
    const active = this.library.active.length > 0;
    if (this.feed.open) return active && !document.hidden ? ACTIVE_MS : IDLE_MS;
    if (document.hidden) return IDLE_MS;
    return active ? POLL_ACTIVE_MS : POLL_IDLE_MS;
  }

  async #read() {
    const changed = [...this.#changed];
    this.#changed = new Set();
    // In a search, one question about all new videos instead of reading each, and then asking.
    const asks = this.#searching && changed.some((id) => !this.library.get(id));
    if (this.#stale || asks || !this.feed.open || changed.length > MAX_SINGLE_READS) {
      this.#stale = false;
      await this.library.refresh();
    } else {
      await Promise.all(changed.map((id) => this.#readOne(id)));
    }
    if (this.library.active.length > 0) await this.#readActive();
  }

  /** Update places in the queue and times left, and find videos that ended without an event. */
  async #readActive() {
    const known = this.library.active.map(({ id }) => id);
    const query = new URLSearchParams({ status: "queued,in_progress", order: "asc", limit: String(MAX_PAGE_SIZE) });
    const page = await this.api.videos(query);
    for (const video of page.data) this.library.put(video);
    const listed = new Set(page.data.map(({ id }) => id));
    if (page.has_more) return;
    const ended = known.filter((id) => !listed.has(id)).slice(0, MAX_SINGLE_READS);
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
