import { ALL_VIDEOS, FIRST_PAGE_SIZE, MAX_PAGE_SIZE, apiQuery, mayMatch } from "../server/query.js";
import { isActive, reconcile } from "./state.js";

/** @typedef {import("../server/api.js").Api} Api */
/** @typedef {import("../server/query.js").Query} Query */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoPage} VideoPage */

// How long the server's list may lag behind a request that it accepted.
const LAG_MS = 10_000;

/** All videos that the page knows, and the list of those that match the query, newest first. */
export class Library {
  /** @type {Query} */
  query = ALL_VIDEOS;
  /** Whether the first page of the list has been read. */
  loaded = false;
  hasMore = false;
  /** @type {(video: Video, before: Video | undefined) => void} called when a video is new or changed */
  onVideo = () => {};
  /** @type {() => void} called when the list may have changed */
  onList = () => {};
  /** @type {() => void} called when only the server can tell whether a video is part of the list */
  onUnknown = () => {};

  /** @type {Map<string, Video>} */
  #videos = new Map();
  /** @type {string[]} */
  #order = [];
  /** @type {string | null} the `last_id` after which the next page starts */
  #cursor = null;
  /** @type {Set<string>} ids that the server has listed for the query */
  #listed = new Set();
  /** @type {Map<string, string>} the status with which the server was or will be asked about a video */
  #asked = new Map();
  /** @type {Map<string, number>} ids that the server's list may not have yet, and since when */
  #fresh = new Map();
  /** @type {Set<string>} deleted ids, which responses sent earlier may still contain */
  #deleted = new Set();
  /** @type {Set<string>} ids whose deletion can still be undone */
  #hidden = new Set();
  /** Counts restarts of the list: pages requested before one are ignored. */
  #generation = 0;
  /** @type {Promise<void> | null} */
  #more = null;
  /** @type {Promise<void>} the last call of `reload` */
  #reloading = Promise.resolve();

  /** @param {Pick<Api, "videos">} api */
  constructor(api) {
    this.api = api;
  }

  /** The ids of the list. */
  get ids() {
    return this.#hidden.size ? this.#order.filter((id) => !this.#hidden.has(id)) : this.#order;
  }

  /** @param {string} id @returns {Video | undefined} */
  get(id) {
    return this.#deleted.has(id) ? undefined : this.#videos.get(id);
  }

  /** All known videos that have not ended. */
  get active() {
    return [...this.#videos.values()].filter((video) => isActive(video) && !this.#deleted.has(video.id));
  }

  /** Show the videos that match `query`. @param {Query} query */
  async show(query) {
    this.query = query;
    this.loaded = false;
    this.hasMore = false;
    this.#listed.clear();
    this.#asked.clear();
    this.#order = [];
    this.onList();
    await this.reload();
  }

  /** Forget everything. Pages that are under way are ignored. */
  clear() {
    this.#restart();
    this.loaded = false;
    this.hasMore = false;
    for (const kept of [this.#videos, this.#listed, this.#asked, this.#fresh, this.#hidden]) kept.clear();
    this.#order = [];
    this.onList();
  }

  /** Read the list from the start; wait for the last of several calls. @returns {Promise<void>} */
  reload() {
    /** @type {Promise<void>} */
    const reloading = this.#reload(this.#restart()).then(() => {
      if (this.#reloading !== reloading) return this.#reloading;
    });
    this.#reloading = reloading;
    return reloading;
  }

  /** @param {number} generation */
  async #reload(generation) {
    const page = await this.#read(FIRST_PAGE_SIZE);
    if (generation !== this.#generation) return;
    this.loaded = true;
    this.#order = [];
    this.#append(page);
    for (const id of this.#fresh.keys()) {
      const video = this.get(id);
      if (video && this.#isFresh(id)) this.#place(video);
    }
  }

  /** Read the next page. Calls share the request that is in flight. */
  more() {
    if (this.#more) return this.#more;
    const more = this.#readMore().finally(() => {
      if (this.#more === more) this.#more = null;
    });
    this.#more = more;
    return more;
  }

  /** Read the first page again, and drop videos that the server no longer lists in its range. */
  async refresh() {
    if (!this.loaded) return this.reload();
    const generation = this.#generation;
    const before = new Set(this.#order);
    const cursor = this.#cursor;
    const page = await this.#read(MAX_PAGE_SIZE);
    if (generation !== this.#generation) return;
    // Added by an event in the meantime, and not with a page.
    const isNew = (/** @type {string} */ id) => !before.has(id) && cursor === this.#cursor;
    const ids = new Set(page.data.map(({ id }) => id));
    const overlap = this.#order.findLastIndex((id) => ids.has(id));
    // Without an overlap, the list may lack videos between the page and what was known.
    const disjoint = overlap < 0;
    const covered = !page.has_more || disjoint ? this.#order.length : overlap + 1;
    this.#order = this.#order.filter((id, place) =>
      place >= covered || ids.has(id) || this.#isFresh(id) || isNew(id));
    if (disjoint) this.#restart();
    const last = page.data.findLastIndex(({ id }) => before.has(id));
    const continues = last >= 0 && page.data[last]?.id === this.#order.at(-1);
    if (disjoint || continues) return this.#append(page, last + 1);
    this.#putAll(page);
  }

  /** Add a video, or a newer state of one. @param {Video} video */
  put(video) {
    if (this.#deleted.has(video.id)) return;
    const before = this.#videos.get(video.id);
    const now = reconcile(before, video);
    this.#videos.set(video.id, now);
    if (now !== before) this.onVideo(now, before);
    this.#place(now);
  }

  /** Add a video that was just created, which the server's list may not have yet. @param {Video} video */
  add(video) {
    this.#fresh.set(video.id, Date.now());
    this.put(video);
  }

  /** @param {string} id */
  remove(id) {
    this.#deleted.add(id);
    this.#hidden.delete(id);
    this.#videos.delete(id);
    const rest = this.#order.filter((other) => other !== id);
    if (rest.length === this.#order.length) return;
    this.#order = rest;
    this.onList();
  }

  /** Hide a video from the list, or show it again. @param {string} id @param {boolean} hidden */
  hide(id, hidden) {
    if (hidden) this.#hidden.add(id);
    else this.#hidden.delete(id);
    this.onList();
  }

  /** @returns {number} the new generation */
  #restart() {
    this.#more = null;
    return ++this.#generation;
  }

  /** @param {number} limit @param {string | null} [after] */
  #read(limit, after) {
    return this.api.videos(apiQuery(this.query, limit, after ?? undefined));
  }

  async #readMore() {
    const generation = this.#generation;
    const cursor = this.#cursor;
    const page = await this.#read(MAX_PAGE_SIZE, cursor);
    if (generation !== this.#generation) return;
    this.#append(page);
    // The next page would be this one again.
    if (page.last_id === null || page.last_id === cursor) this.hasMore = false;
  }

  /** Continue the list with the videos of a page. @param {VideoPage} page @param {number} [start] of those */
  #append(page, start = 0) {
    const known = new Set(this.#order);
    const added = page.data.slice(start).filter(({ id }) => !known.has(id) && !this.#deleted.has(id));
    this.#order = [...this.#order, ...added.map(({ id }) => id)];
    this.#cursor = page.last_id;
    this.hasMore = page.has_more;
    this.#putAll(page);
  }

  /** @param {VideoPage} page */
  #putAll(page) {
    for (const { id } of page.data) this.#listed.add(id);
    // The oldest first: of two videos of the same second, the later one is then placed before the other.
    for (const video of page.data.toReversed()) this.put(video);
    this.onList();
  }

  /** Insert a video into the list or take it out, depending on the query. @param {Video} video */
  #place(video) {
    const place = this.#order.indexOf(video.id);
    const wanted = this.loaded && this.#matches(video);
    if (place >= 0 === wanted) return;
    if (place >= 0) {
      this.#order = this.#order.toSpliced(place, 1);
    } else {
      const older = (/** @type {string} */ id) =>
        (this.#videos.get(id)?.created_at ?? 0) <= video.created_at;
      const found = this.#order.findIndex(older);
      // Older than everything read so far: it will come with a later page.
      if (found < 0 && this.hasMore) return;
      this.#order = this.#order.toSpliced(found < 0 ? this.#order.length : found, 0, video.id);
    }
    this.onList();
  }

  /**
   * Whether the video matches the query. Once the server has listed it, only its status can change that:
   * prompts and times of creation are fixed. Before that, the server alone searches prompts: how it compares
   * texts is not repeated here.
   *
   * @param {Video} video
   */
  #matches(video) {
    const { query } = this;
    const { id } = video;
    if (this.#listed.has(id)) return mayMatch(video, { ...ALL_VIDEOS, status: query.status });
    if (!mayMatch(video, query)) return false;
    if (query.q.trim() === "") return true;
    // Again after a change: the first answer may have come from a list that did not have the video yet.
    if (this.#asked.get(id) !== video.status) {
      this.#asked.set(id, video.status);
      this.onUnknown();
    }
    return false;
  }

  /** @param {string} id */
  #isFresh(id) {
    return Date.now() - (this.#fresh.get(id) ?? 0) < LAG_MS;
  }
}
