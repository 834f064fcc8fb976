import { ALL_VIDEOS, FIRST_PAGE_SIZE, MAX_PAGE_SIZE, apiQuery, matches } from "../server/query.js";
import { isActive, reconcile } from "./state.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoPage} VideoPage */
/** @typedef {import("../server/query.js").Query} Query */

// How long the server's list may lag behind a request that it accepted.
const LAG_MS = 10_000;

/** The videos that this page knows, and the list of those that are shown, newest first. */
export class Library {
  /** @type {Query} */
  query = ALL_VIDEOS;
  /** Whether the first page of the list has come. */
  loaded = false;
  hasMore = false;
  /** @type {(video: Video, before: Video | undefined) => void} */
  onVideo = () => {};
  /** @type {() => void} called when the list has other videos, or another order */
  onList = () => {};

  /** @type {Map<string, Video>} */
  #videos = new Map();
  /** @type {string[]} */
  #order = [];
  /** @type {Map<string, number>} ids that are newer than any list may be, and since when */
  #fresh = new Map();
  /** @type {Set<string>} ids that were deleted, which a list read before may still hold */
  #gone = new Set();
  /** @type {Set<string>} ids whose deletion can still be undone */
  #hidden = new Set();
  #reading = 0;
  /** @type {Promise<void> | null} */
  #more = null;

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
  }

  /** The ids of the list. */
  get ids() {
    return this.#hidden.size ? this.#order.filter((id) => !this.#hidden.has(id)) : this.#order;
  }

  /** @param {string} id @returns {Video | undefined} */
  get(id) {
    return this.#gone.has(id) ? undefined : this.#videos.get(id);
  }

  /** Every known video that has not ended. */
  get active() {
    return [...this.#videos.values()].filter((video) => isActive(video) && !this.#gone.has(video.id));
  }

  /** Show the list of `query` from its beginning. @param {Query} query */
  async show(query) {
    this.query = query;
    this.loaded = false;
    this.hasMore = false;
    this.#order = [];
    this.onList();
    await this.reload();
  }

  /** Read the list again from its beginning. */
  async reload() {
    const reading = ++this.#reading;
    this.#more = null;
    const page = await this.#page(FIRST_PAGE_SIZE);
    if (reading !== this.#reading) return;
    this.loaded = true;
    this.hasMore = page.has_more;
    this.#order = [];
    this.#take(page);
  }

  /** Read on. One reading at a time: callers in the meantime wait for the same one. */
  more() {
    if (this.#more) return this.#more;
    const more = this.#readOn().finally(() => {
      if (this.#more === more) this.#more = null;
    });
    this.#more = more;
    return more;
  }

  /** Read what came since. What stands in the list and not on the server is dropped. */
  async refresh() {
    if (!this.loaded) return this.reload();
    const reading = this.#reading;
    const before = new Set(this.#order);
    const page = await this.#page(MAX_PAGE_SIZE);
    if (reading !== this.#reading) return;
    const listed = new Set(page.data.map(({ id }) => id));
    const reached = page.has_more
      ? this.#order.findLastIndex((id) => listed.has(id)) : this.#order.length - 1;
    // With nothing in common there may be more between the page and what is known here.
    const beyond = (/** @type {number} */ place) => reached >= 0 && place > reached;
    this.#order = this.#order.filter((id, place) =>
      beyond(place) || listed.has(id) || this.#isFresh(id) || !before.has(id));
    if (reached < 0 || !page.has_more) this.hasMore = page.has_more;
    this.#take(page);
  }

  /** Take over what the server said about a video. @param {Video} video */
  put(video) {
    if (this.#gone.has(video.id)) return;
    const before = this.#videos.get(video.id);
    const now = reconcile(before, video);
    this.#videos.set(video.id, now);
    if (now !== before) this.onVideo(now, before);
    this.#place(now);
  }

  /** A video that no list may have heard of yet. @param {Video} video */
  add(video) {
    this.#fresh.set(video.id, Date.now());
    this.put(video);
  }

  /** @param {string} id */
  remove(id) {
    this.#gone.add(id);
    this.#hidden.delete(id);
    this.#videos.delete(id);
    const rest = this.#order.filter((other) => other !== id);
    if (rest.length === this.#order.length) return;
    this.#order = rest;
    this.onList();
  }

  /** Leave a video out of the list, or put it back. @param {string} id @param {boolean} hidden */
  hide(id, hidden) {
    if (hidden) this.#hidden.add(id);
    else this.#hidden.delete(id);
    this.onList();
  }

  /** @param {number} limit @param {string} [after] */
  #page(limit, after) {
    return this.api.videos(apiQuery(this.query, limit, after));
  }

  async #readOn() {
    const reading = this.#reading;
    const page = await this.#page(MAX_PAGE_SIZE, this.#order.at(-1));
    if (reading !== this.#reading) return;
    this.hasMore = page.has_more;
    this.#take(page);
  }

  /** @param {VideoPage} page */
  #take(page) {
    const known = new Set(this.#order);
    const news = page.data.filter(({ id }) => !known.has(id) && !this.#gone.has(id));
    const oldest = this.#videos.get(this.#order.at(-1) ?? "");
    const onward = news.every((video) => !oldest || video.created_at <= oldest.created_at);
    if (onward) this.#order = [...this.#order, ...news.map(({ id }) => id)];
    // The oldest first: of two of the same second, the later one then comes before it.
    for (const video of page.data.toReversed()) this.put(video);
    this.onList();
  }

  /** Put a video where it belongs in the list, or take it out. @param {Video} video */
  #place(video) {
    const place = this.#order.indexOf(video.id);
    const wanted = this.loaded && matches(video, this.query);
    if (place >= 0 === wanted) return;
    if (place >= 0) {
      this.#order = this.#order.toSpliced(place, 1);
    } else {
      const older = (/** @type {string} */ id) =>
        (this.#videos.get(id)?.created_at ?? 0) <= video.created_at;
      const found = this.#order.findIndex(older);
      // Below what was read so far it comes with a later page.
      if (found < 0 && this.hasMore) return;
      this.#order = this.#order.toSpliced(found < 0 ? this.#order.length : found, 0, video.id);
    }
    this.onList();
  }

  /** @param {string} id */
  #isFresh(id) {
    return Date.now() - (this.#fresh.get(id) ?? 0) < LAG_MS;
  }
}
