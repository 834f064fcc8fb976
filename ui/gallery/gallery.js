import { find } from "../browser/dom.js";
import { Card } from "./card.js";
import { targetIndex } from "./keyboard.js";
import { heightOf, indexesBetween, layoutFor, positionOf } from "./layout.js";
import { ScrollAnchor } from "./scroll_anchor.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").ViewDependencies} ViewDependencies */
/** @typedef {import("../videos/library.js").Library} Library */
/** @typedef {import("./layout.js").Layout} Layout */

// Cards exist this many screens above and below the visible one.
const MARGIN_SCREENS = 0.75;
// The next page is read this many screens before the end.
const PREFETCH_SCREENS = 5;
// Cards that are only scrolled past load no picture.
const AT_REST_MS = 90;

/** The list of videos as a grid, in which only cards near the screen exist. */
export class Gallery {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Card[]} cards to reuse */
  #spare = [];
  /** @type {Layout} */
  #layout = { columns: 1, width: 1, height: 1, gap: 0 };
  #frame = 0;
  #arranged = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #resting;
  #scrolling = false;
  /** @type {string[]} the videos in the grid */
  #ids = [];

  /** @param {Library} library @param {ViewDependencies} dependencies @param {() => Promise<void>} readMore */
  constructor(library, dependencies, readMore) {
    this.library = library;
    this.dependencies = dependencies;
    this.readMore = readMore;
    this.list = find(document, "#videos", HTMLElement);
    this.anchor = new ScrollAnchor();
    window.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.list);
    this.list.addEventListener("keydown", (event) => this.#moveFocus(event));
  }

  /** Show the list after a change. */
  show() {
    this.#arranged = false;
    this.#scheduleRender();
  }

  /** @param {Video} video */
  update(video) {
    this.#cards.get(video.id)?.update(video);
  }

  /** Update the times. */
  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  /** Scroll to the start of the list unless it is in view, to show a new video. @param {string} id @returns {boolean} whether it is in the list */
  reveal(id) {
    if (!this.library.ids.includes(id)) return false;
    // Now, as an empty list has no height to scroll to.
    this.#render();
    const { top } = this.list.getBoundingClientRect();
    const covered = parseFloat(getComputedStyle(this.list).scrollMarginTop);
    if (top < covered || top + this.#layout.height > innerHeight) this.list.scrollIntoView({ block: "start" });
    return true;
  }

  /** Also right after the list has changed. @param {string} id @returns {boolean} whether it is in the list */
  focus(id) {
    this.#render();
    const index = this.#ids.indexOf(id);
    if (index < 0) return false;
    const { y } = positionOf(this.#layout, index);
    const top = this.list.getBoundingClientRect().top + y;
    if (top < 0 || top + this.#layout.height > innerHeight) {
      window.scrollBy({ top: top - innerHeight / 3, behavior: "instant" });
    }
    this.#render();
    this.#cards.get(id)?.focus();
    return true;
  }

  #scrolled() {
    this.#scrolling = true;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#atRest(), AT_REST_MS);
    this.#scheduleRender();
  }

  #atRest() {
    this.#scrolling = false;
    for (const card of this.#cards.values()) card.settle();
  }

  #resized() {
    const style = getComputedStyle(this.list);
    const length = (/** @type {string} */ name) => parseFloat(style.getPropertyValue(name));
    const sizes = { least: length("--card-least"), gap: length("--card-gap"), text: length("--card-text") };
    this.#layout = layoutFor(this.list.clientWidth, sizes);
    this.list.style.setProperty("--card-width", `${this.#layout.width}px`);
    this.list.style.setProperty("--card-height", `${this.#layout.height}px`);
    this.show();
  }

  #scheduleRender() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const top = -this.list.getBoundingClientRect().top;
    const ids = this.anchor.visible(this.library.ids, top < this.#layout.height);
    if (ids[0] !== this.#ids[0]) this.#arranged = false;
    this.#ids = ids;
    if (!this.#arranged) this.list.style.height = `${heightOf(this.#layout, ids.length)}px`;
    // ARIA requires a feed to have articles.
    this.list.role = ids.length > 0 ? "feed" : "group";
    const margin = innerHeight * MARGIN_SCREENS;
    const { first, last } = indexesBetween(this.#layout, top - margin, top + innerHeight + margin, ids.length);
    const wanted = ids.slice(first, last);
    const unfocused = this.#recycle(new Set(wanted), ids);
    wanted.forEach((id, place) => this.#put(id, first + place, ids.length));
    this.#sort(wanted);
    this.#arranged = true;
    if (unfocused >= 0) this.#focusNear(unfocused, ids);
    const end = heightOf(this.#layout, ids.length);
    if (this.library.hasMore && end - top < innerHeight * (1 + PREFETCH_SCREENS)) this.readMore();
  }

  /**
   * Free the cards that are not wanted, except the one with the focus while its video is listed.
   *
   * @param {Set<string>} wanted
   * @param {string[]} ids
   * @returns {number} the index of the removed card that had the focus, or -1
   */
  #recycle(wanted, ids) {
    let unfocused = -1;
    for (const [id, card] of this.#cards) {
      if (wanted.has(id)) continue;
      if (card.element.contains(document.activeElement)) {
        if (ids.includes(id)) continue;
        unfocused = card.index;
      }
      card.release();
      card.element.remove();
      this.#cards.delete(id);
      this.#spare.push(card);
    }
    return unfocused;
  }

  /** @param {number} index @param {string[]} ids */
  #focusNear(index, ids) {
    const near = ids[Math.min(index, ids.length - 1)];
    const card = near === undefined ? undefined : this.#cards.get(near);
    if (card) card.focus();
    else find(document, "#videos-title", HTMLElement).focus();
  }

  /** @param {string} id @param {number} index @param {number} count */
  #put(id, index, count) {
    const video = this.library.get(id);
    if (!video) return;
    let card = this.#cards.get(id);
    if (!card) {
      card = this.#spare.pop() ?? new Card(this.dependencies);
      card.show(video, this.#scrolling);
      this.#cards.set(id, card);
    } else if (this.#arranged) {
      return;
    }
    card.moveTo(positionOf(this.#layout, index), index, this.library.hasMore ? -1 : count);
  }

  /** Order the elements as in the list, for screen readers and the Tab key. @param {string[]} wanted */
  #sort(wanted) {
    let next = this.list.firstElementChild;
    for (const id of wanted) {
      const element = this.#cards.get(id)?.element;
      if (!element) continue;
      // Only cards out of order are moved, as moving one stops its video.
      if (element === next) next = next.nextElementSibling;
      else this.list.insertBefore(element, next);
    }
  }

  /** @param {KeyboardEvent} event */
  #moveFocus(event) {
    const card = event.target instanceof Element ? event.target.closest("article") : null;
    const index = this.#ids.indexOf(card?.dataset.id ?? "");
    const target = index < 0 ? null : targetIndex(event, index, this.#ids.length, this.#layout);
    const id = target === null ? undefined : this.#ids[target];
    if (!id) return;
    event.preventDefault();
    this.focus(id);
  }
}
