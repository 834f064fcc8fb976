import { Feed } from "./feed.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./sse.js").Sent} Sent */
/** @typedef {{sent?: Sent, open?: boolean, hello?: true}} Message */

const NAME = "kinora.feed";

/**
 * One feed for all tabs of this browser: without it, six tabs use up the connections that a browser
 * opens to one HTTP/1.1 server, and nothing else gets through. The tab that holds the lock listens
 * and tells the others; when it goes, the next one goes on from the last event that it heard.
 *
 * Locks need TLS or localhost. Elsewhere each tab listens itself, while it can be seen.
 */
export class SharedFeed {
  #open = false;
  #leading = false;
  #started = false;
  #channel = new BroadcastChannel(NAME);

  /**
   * @param {Api} api
   * @param {(sent: Sent) => void} onEvent
   * @param {(open: boolean, resumed: boolean) => void} onState
   */
  constructor(api, onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.feed = new Feed(api, (sent) => this.#tell(sent), (open, resumed) => this.#say(open, resumed));
    this.#channel.addEventListener("message", ({ data }) => this.#hear(data));
  }

  /** @returns {boolean} whether events arrive */
  get open() {
    return this.#open;
  }

  /** Can be called again. */
  start() {
    if (this.#started) return;
    this.#started = true;
    if (navigator.locks) {
      navigator.locks.request(NAME, () => {
        this.#leading = true;
        this.feed.start();
        return new Promise(() => {}); // held until the tab is closed
      });
      this.#post({ hello: true });
    } else {
      document.addEventListener("visibilitychange", () => this.#whileSeen());
      this.#whileSeen();
    }
  }

  retryNow() {
    this.feed.retryNow();
  }

  #whileSeen() {
    if (document.hidden) this.feed.stop();
    else this.feed.start();
  }

  /** @param {Message} message */
  #hear(message) {
    if (this.#leading) {
      if (message.hello) this.#post({ open: this.#open });
    } else if (navigator.locks && message.sent) {
      this.feed.lastEventId = message.sent.id;
      this.onEvent(message.sent);
    } else if (navigator.locks && message.open !== undefined) {
      this.#open = message.open;
      this.onState(message.open, false);
    }
  }

  /** @param {Sent} sent */
  #tell(sent) {
    this.onEvent(sent);
    this.#post({ sent });
  }

  /** @param {boolean} open @param {boolean} resumed */
  #say(open, resumed) {
    this.#open = open;
    this.onState(open, resumed);
    this.#post({ open });
  }

  /** @param {Message} message */
  #post(message) {
    this.#channel.postMessage(message);
  }
}
