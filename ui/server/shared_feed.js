import { Feed } from "./feed.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./sse.js").ServerSentEvent} ServerSentEvent */
/** @typedef {{event?: ServerSentEvent, open?: boolean, hello?: true}} Message between tabs */

const NAME = "kinora.feed";

/**
 * One event stream for all tabs of this browser. With one for each, six tabs would use up all the
 * connections that a browser opens to an HTTP/1.1 server. The tab that holds the lock reads the stream
 * and broadcasts it; when that tab closes, another resumes after the last event it received.
 *
 * Locks need TLS or localhost. Without them, each visible tab has a stream of its own.
 */
export class SharedFeed {
  #open = false;
  #leader = false;
  #started = false;
  #stopped = false;
  /** Lets another tab read the stream. */
  #release = () => {};
  #channel = new BroadcastChannel(NAME);

  /**
   * @param {Api} api
   * @param {(event: ServerSentEvent) => void} onEvent
   * @param {(open: boolean, resumed: boolean) => void} onState `resumed`: no event was missed
   */
  constructor(api, onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.feed = new Feed(api, (event) => this.#shareEvent(event), (open, resumed) => this.#shareState(open, resumed));
    this.#channel.addEventListener("message", ({ data }) => this.#receive(data));
  }

  /** @returns {boolean} whether events arrive */
  get open() {
    return this.#open;
  }

  /** Does nothing if already started. */
  start() {
    if (this.#started) return;
    this.#started = true;
    if (navigator.locks) {
      navigator.locks.request(NAME, () => {
        if (this.#stopped) return;
        this.#leader = true;
        this.feed.start();
        // Held until this tab stops or is closed.
        return new Promise((resolve) => (this.#release = () => resolve(undefined)));
      });
      this.#post({ hello: true });
    } else {
      document.addEventListener("visibilitychange", () => this.#followVisibility());
      this.#followVisibility();
    }
  }

  /** Stop for good. */
  stop() {
    this.#stopped = true;
    this.feed.stop();
    this.#release();
  }

  #followVisibility() {
    if (document.hidden || this.#stopped) this.feed.stop();
    else this.feed.start();
  }

  /** @param {Message} message */
  #receive(message) {
    if (this.#leader) {
      if (message.hello) this.#post({ open: this.#open });
    } else if (navigator.locks && message.event) {
      this.feed.lastEventId = message.event.id;
      this.onEvent(message.event);
    } else if (navigator.locks && message.open !== undefined) {
      this.#open = message.open;
      this.onState(message.open, false);
    }
  }

  /** @param {ServerSentEvent} event */
  #shareEvent(event) {
    // First, so that what this tab can't handle reaches the others.
    this.#post({ event });
    this.onEvent(event);
  }

  /** @param {boolean} open @param {boolean} resumed */
  #shareState(open, resumed) {
    this.#open = open;
    this.onState(open, resumed);
    this.#post({ open });
  }

  /** @param {Message} message */
  #post(message) {
    this.#channel.postMessage(message);
  }
}
