import { ApiError } from "./api.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 5_000;

/** Reads again and again while the page can be seen, whatever happens to the reads. */
export class Poll {
  #running = false;
  #again = false;
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {() => Promise<number>} read resolves to the milliseconds until the next read
   * @param {(error: ApiError | null) => void} report called after each read
   */
  constructor(read, report) {
    this.read = read;
    this.report = report;
    document.addEventListener("visibilitychange", () => this.now());
    window.addEventListener("online", () => this.now());
  }

  /** Read at once, or right after the read that is under way. */
  now() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    if (this.#running) this.#again = true;
    else this.#once();
  }

  async #once() {
    this.#running = true;
    this.#again = false;
    // Stands if `read` throws something that is no ApiError: the next read comes nevertheless.
    let wait = LAST_RETRY_MS;
    try {
      wait = await this.read();
      this.#failures = 0;
      this.report(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
      wait = Math.max(wait, error.retryAfterMs);
      this.#failures += 1;
      this.report(error);
    } finally {
      this.#running = false;
      this.#timer = setTimeout(() => this.now(), this.#again ? 0 : wait);
    }
  }
}
