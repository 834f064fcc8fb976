import { ApiError } from "./api.js";
import { backoffMs } from "./backoff.js";
import { readEvents } from "./sse.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./sse.js").ServerSentEvent} ServerSentEvent */

// The server sends a keep-alive every 10 s.
const SILENCE_MS = 25_000;

/** The event stream. Reconnects and resumes after interruptions, without missing an event. */
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
   * @param {(event: ServerSentEvent) => void} onEvent
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

  /** Reconnect without waiting for the backoff to end. */
  retryNow() {
    this.#failures = 0;
    this.#wake();
  }

  async #run() {
    while (this.#running) {
      let retryAfterMs = 0;
      try {
        await this.#readStream();
      } catch (error) {
        if (error instanceof ApiError) {
          retryAfterMs = error.retryAfterMs;
          // The server no longer knows the id: its streams were recreated.
          if (error.status === 400) this.lastEventId = null;
          if (error.status === 401) this.#running = false;
        } else {
          reportError(error);
        }
      }
      this.onState(false, false);
      if (this.#running) await this.#pause(retryAfterMs);
    }
  }

  async #readStream() {
    const connection = new AbortController();
    this.#connection = connection;
    const startTimer = () => setTimeout(() => connection.abort(), SILENCE_MS);
    let timer = startTimer();
    try {
      const resumed = this.lastEventId !== null;
      let open = false;
      const stream = await this.api.events(this.lastEventId, connection.signal);
      for await (const event of readEvents(stream)) {
        clearTimeout(timer);
        timer = startTimer();
        if (!open) this.onState(true, resumed);
        open = true;
        this.#failures = 0;
        // First: an event that can't be handled must not come again after the reconnect.
        this.lastEventId = event.id ?? this.lastEventId;
        if (event.data) this.onEvent(event);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {number} retryAfterMs */
  #pause(retryAfterMs) {
    const wait = backoffMs(this.#failures, retryAfterMs);
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
