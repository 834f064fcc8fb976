import { ApiError, cancelVideo, deleteVideo, getVideo, listVideos } from "./api.js";
import { Card } from "./card.js";
import { announce, find } from "./dom.js";
import { isActive, shortPrompt, stateLabel } from "./format.js";

/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").VideoPage} VideoPage */

const PAGE = 20;
const LONGEST_PAGE = 100;
const SINGLE_READS = 5;
const ACTIVE_MS = 1_000;
const IDLE_MS = 5_000;
const SOON_MS = 100;
// How long the server's list may take to hear of a video that was just made.
const LAG_MS = 10_000;

/** The list of videos: what the server lists, in its order, and what was done here since. */
export class Gallery {
  /** @type {string[]} */
  #order = [];
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Map<string, number>} ids made here, and when */
  #made = new Map();
  /** @type {Set<string>} ids deleted here, which a list read before may still hold */
  #deleted = new Set();
  #changes = 0;
  #loaded = false;
  #hasMore = false;

  /** @param {(video: Video) => void} useAgain */
  constructor(useAgain) {
    this.list = find(document, "#videos", HTMLUListElement);
    this.more = find(document, "#more", HTMLButtonElement);
    this.actions = {
      useAgain,
      cancel: (/** @type {Video} */ video) => this.#cancel(video),
      remove: (/** @type {Video} */ video) => this.#delete(video),
    };
  }

  /** Read what is new. @returns {Promise<number>} milliseconds until it is worth another look */
  async refresh() {
    const changes = this.#changes;
    const page = await listVideos(this.#pageToOldestActive());
    const older = await this.#readOlder(page);
    // What was read before a click must not undo what the click did.
    if (changes !== this.#changes) return SOON_MS;
    const said = [...page.data, ...older].map((video) => this.#put(video));
    this.#arrange(page);
    this.#loaded = true;
    this.#show();
    if (said.some(Boolean)) announce(said.filter(Boolean).join(" "));
    return this.#order.some((id) => this.#isActive(id)) ? ACTIVE_MS : IDLE_MS;
  }

  async showMore() {
    const page = await listVideos(PAGE, this.#order.at(-1));
    for (const video of page.data) this.#put(video);
    const known = new Set(this.#order);
    this.#order.push(...this.#idsOf(page).filter((id) => !known.has(id)));
    this.#hasMore = page.has_more;
    this.#show();
  }

  /** @param {Video} video one that was just asked for here */
  add(video) {
    this.#changes += 1;
    this.#made.set(video.id, Date.now());
    this.#put(video);
    this.#order = [video.id, ...this.#order.filter((id) => id !== video.id)];
    this.#show();
    this.#cards.get(video.id)?.item.scrollIntoView({ block: "nearest" });
    announce(`${stateLabel(video)}: ${shortPrompt(video.prompt)}`);
  }

  /** @param {Video} video */
  async #cancel(video) {
    const now = await cancelVideo(video.id);
    this.#changes += 1;
    const said = this.#put(now);
    if (said) announce(said);
  }

  /** @param {Video} video */
  async #delete(video) {
    try {
      await deleteVideo(video.id);
    } catch (error) {
      // Somebody else was faster.
      if (!(error instanceof ApiError && [404, 410].includes(error.status))) throw error;
    }
    this.#changes += 1;
    this.#deleted.add(video.id);
    this.#order = this.#order.filter((id) => id !== video.id);
    this.#show();
    announce(`Deleted: ${shortPrompt(video.prompt)}`);
  }

  /** How long a page must be to hold every video that can change. */
  #pageToOldestActive() {
    const oldest = lastIndex(this.#order, (id) => this.#isActive(id));
    return Math.min(LONGEST_PAGE, Math.max(PAGE, oldest + 1));
  }

  /** The oldest videos under way, which end first, if no page reaches them. @param {VideoPage} page */
  async #readOlder(page) {
    const listed = new Set(page.data.map(({ id }) => id));
    const asked = this.#order.filter((id) => this.#isActive(id) && !listed.has(id));
    const reads = asked.slice(-SINGLE_READS).map((id) => getVideo(id).catch(noneIfGone));
    const found = await Promise.all(reads);
    return found.filter((video) => video !== null);
  }

  /** Create or change a card. @param {Video} video @returns {string} the news, or "" */
  #put(video) {
    if (this.#deleted.has(video.id)) return "";
    const card = this.#cards.get(video.id);
    if (!card) {
      this.#cards.set(video.id, new Card(video, this.actions));
      return "";
    }
    const before = card.video;
    // A list may lag behind the answer to a click; what has ended never starts again.
    if (!isActive(before) && isActive(video)) return "";
    card.update(video);
    return before.status === video.status
      ? "" : `${stateLabel(video)}: ${shortPrompt(video.prompt)}.`;
  }

  /** Take over the order of the newest page; keep what was loaded beyond it. @param {VideoPage} page */
  #arrange(page) {
    const ids = this.#idsOf(page);
    const listed = new Set(ids);
    const lastShared = lastIndex(this.#order, (id) => listed.has(id));
    const recent = this.#order.filter((id) => !listed.has(id) && this.#isNew(id));
    // With nothing in common there is a gap below the page, which "Show more" fills again.
    const joined = page.has_more && lastShared >= 0;
    const beyond = joined ? this.#order.slice(lastShared + 1) : [];
    if (beyond.length === 0) this.#hasMore = page.has_more;
    this.#order = [...new Set([...recent, ...ids, ...beyond])];
  }

  /** @param {VideoPage} page */
  #idsOf(page) {
    return page.data.map(({ id }) => id).filter((id) => !this.#deleted.has(id));
  }

  /** @param {string} id */
  #isActive(id) {
    const card = this.#cards.get(id);
    return card !== undefined && isActive(card.video);
  }

  /** @param {string} id */
  #isNew(id) {
    return Date.now() - (this.#made.get(id) ?? 0) < LAG_MS;
  }

  /** Make the page agree with `#order`. A card that stays in order is never moved: that would stop its video. */
  #show() {
    const wanted = new Set(this.#order);
    for (const [id, card] of this.#cards) if (!wanted.has(id)) this.#drop(id, card);
    let next = this.list.firstElementChild;
    for (const id of this.#order) {
      const item = this.#cards.get(id)?.item;
      if (!item) continue;
      if (item === next) next = next.nextElementSibling;
      else this.list.insertBefore(item, next);
    }
    find(document, "#loading", HTMLElement).hidden = this.#loaded || this.#order.length > 0;
    find(document, "#empty", HTMLElement).hidden = !this.#loaded || this.#order.length > 0;
    this.more.hidden = !this.#hasMore;
  }

  /** @param {string} id @param {Card} card */
  #drop(id, card) {
    const focused = card.item.contains(document.activeElement);
    const near = card.item.nextElementSibling ?? card.item.previousElementSibling;
    card.item.remove();
    this.#cards.delete(id);
    if (!focused) return;
    const target = near?.querySelector("article") ?? find(document, "#videos-title", HTMLElement);
    target.focus();
  }
}

/** @param {string[]} ids @param {(id: string) => boolean} test @returns {number} -1 if none passes */
function lastIndex(ids, test) {
  return ids.reduce((last, id, index) => (test(id) ? index : last), -1);
}

/** @param {unknown} error @returns {null} */
function noneIfGone(error) {
  if (error instanceof ApiError && error.status === 404) return null;
  throw error;
}
