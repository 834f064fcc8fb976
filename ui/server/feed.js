import { ApiError } from "./api.js";
import { readEvents } from "./sse.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./sse.js").Sent} Sent */

// The server sends a sign of life every 10 s.
const SILENCE_MS = 25_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

/** What happens to the videos, as it happens; comes back by itself, and misses nothing then. */
export class Feed {
  /** @type {string | null} */
  lastEventId = null;
  #running = false;
  #failures = 0;
  /** @type {AbortController | null} */
  #connection = null;
  /** @type {() => void} */
  #wake = () => {};

  /**
   * @param {Api} api
   * @param {(sent: Sent) => void} onEvent
   * @param {(open: boolean, resumed: boolean) => void} onState
   */
  constructor(api, onEvent, onState) {
    this.api = api;
    this.onEvent = onEvent;
    this.onState = onState;
    window.addEventListener("online", () => this.retryNow());
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#run();
  }

  stop() {
    this.#running = false;
    this.#connection?.abort();
    this.#wake();
  }

  /** Wait no longer before the next try. */
  retryNow() {
    this.#failures = 0;
    this.#wake();
  }

  async #run() {
    while (this.#running) {
      let wait = 0;
      try {
        await this.#listen();
      } catch (error) {
        if (error instanceof ApiError) {
          wait = error.retryAfterMs;
          // Not an id of this server's streams any more.
          if (error.status === 400) this.lastEventId = null;
          if (error.status === 401) this.#running = false;
        } else {
          reportError(error);
        }
      }
      this.onState(false, false);
      if (this.#running) await this.#pause(wait);
    }
  }

  async #listen() {
    const connection = new AbortController();
    this.#connection = connection;
    const silence = () => setTimeout(() => connection.abort(), SILENCE_MS);
    let timer = silence();
    try {
      const resumed = this.lastEventId !== null;
      let open = false;
      const stream = await this.api.events(this.lastEventId, connection.signal);
      for await (const sent of readEvents(stream)) {
        clearTimeout(timer);
        timer = silence();
        if (!open) this.onState(true, resumed);
        open = true;
        this.#failures = 0;
        if (sent.data) this.onEvent(sent);
        this.lastEventId = sent.id ?? this.lastEventId;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {number} least milliseconds */
  #pause(least) {
    const wait = Math.max(least, Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures));
    this.#failures += 1;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
