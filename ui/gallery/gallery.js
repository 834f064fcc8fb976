import { find } from "../browser/dom.js";
import { Card } from "./card.js";
import { goalOf } from "./keys.js";
import { between, heightOf, layoutFor, placeOf } from "./layout.js";
import { Newcomers } from "./newcomers.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").Means} Means */
/** @typedef {import("../videos/library.js").Library} Library */
/** @typedef {import("./layout.js").Layout} Layout */

// So many screens of cards exist above and below the one that is seen.
const AROUND = 0.75;
// So many screens before its end the list is read on.
const AHEAD = 5;
// A card that is only scrolled past needs no picture.
const AT_REST_MS = 90;

/** The list of videos as a grid, of which only the part around the screen exists. */
export class Gallery {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Card[]} cards to use again */
  #spare = [];
  /** @type {Layout} */
  #layout = { columns: 1, width: 1, height: 1, gap: 0 };
  #frame = 0;
  #arranged = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #resting;
  #scrolling = false;
  /** @type {string[]} the videos that have a place */
  #ids = [];

  /** @param {Library} library @param {Means} means @param {() => Promise<void>} readOn */
  constructor(library, means, readOn) {
    this.library = library;
    this.means = means;
    this.readOn = readOn;
    this.list = find(document, "#videos", HTMLElement);
    this.newcomers = new Newcomers();
    window.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.list);
    this.list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** The list has changed. */
  show() {
    this.#arranged = false;
    this.#soon();
  }

  /** @param {Video} video */
  update(video) {
    this.#cards.get(video.id)?.update(video);
  }

  /** Times go by. */
  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  /** Show the newest. Where the form stands above the list, it is below and needs no move. */
  toTop() {
    if (this.list.getBoundingClientRect().top < 0) window.scrollTo({ top: 0 });
  }

  /** @param {string} id @returns {boolean} whether it is in the list, and has the focus now */
  focus(id) {
    const index = this.#ids.indexOf(id);
    if (index < 0) return false;
    const { y } = placeOf(this.#layout, index);
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
    this.#soon();
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

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const top = -this.list.getBoundingClientRect().top;
    const ids = this.newcomers.shown(this.library.ids, top < this.#layout.height);
    if (ids[0] !== this.#ids[0]) this.#arranged = false;
    this.#ids = ids;
    if (!this.#arranged) this.list.style.height = `${heightOf(this.#layout, ids.length)}px`;
    // A feed without articles would be none.
    this.list.role = ids.length > 0 ? "feed" : "group";
    const around = innerHeight * AROUND;
    const { first, last } = between(this.#layout, top - around, top + innerHeight + around, ids.length);
    const wanted = ids.slice(first, last);
    const bereft = this.#recycle(new Set(wanted), ids);
    wanted.forEach((id, place) => this.#put(id, first + place, ids.length));
    this.#sort(wanted);
    this.#arranged = true;
    if (bereft >= 0) this.#focusNear(bereft, ids);
    const end = heightOf(this.#layout, ids.length);
    if (this.library.hasMore && end - top < innerHeight * (1 + AHEAD)) this.readOn();
  }

  /**
   * Free the cards that are not wanted. The one with the focus stays as long as it is listed.
   *
   * @param {Set<string>} wanted
   * @param {string[]} ids
   * @returns {number} where the card stood that had the focus and is gone, or -1
   */
  #recycle(wanted, ids) {
    let bereft = -1;
    for (const [id, card] of this.#cards) {
      if (wanted.has(id)) continue;
      if (card.element.contains(document.activeElement)) {
        if (ids.includes(id)) continue;
        bereft = card.index;
      }
      card.release();
      card.element.remove();
      this.#cards.delete(id);
      this.#spare.push(card);
    }
    return bereft;
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
      card = this.#spare.pop() ?? new Card(this.means);
      card.show(video, this.#scrolling);
      this.#cards.set(id, card);
    } else if (this.#arranged) {
      return;
    }
    card.place(placeOf(this.#layout, index), index, this.library.hasMore ? -1 : count);
  }

  /** Cards stand in the order of the list, for who reads or tabs through it. @param {string[]} wanted */
  #sort(wanted) {
    let next = this.list.firstElementChild;
    for (const id of wanted) {
      const element = this.#cards.get(id)?.element;
      if (!element) continue;
      // A card that is in order is never moved: that would stop its video.
      if (element === next) next = next.nextElementSibling;
      else this.list.insertBefore(element, next);
    }
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const card = event.target instanceof Element ? event.target.closest("article") : null;
    const index = this.#ids.indexOf(card?.dataset.id ?? "");
    const goal = index < 0 ? null : goalOf(event, index, this.#ids.length, this.#layout);
    const id = goal === null ? undefined : this.#ids[goal];
    if (!id) return;
    event.preventDefault();
    this.focus(id);
  }
}
