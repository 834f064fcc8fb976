import { find, showText } from "../browser/dom.js";

/** Keeps videos in place while new ones are added above them, and counts those. */
export class ScrollAnchor {
  /** @type {string | undefined} the first video that is shown */
  #first;

  constructor() {
    this.button = find(document, "#new-videos", HTMLButtonElement);
    this.button.addEventListener("click", () => window.scrollTo({ top: 0 }));
  }

  /**
   * The part of the list to show: all of it at the top, else from the same first video as before.
   *
   * @param {string[]} ids
   * @param {boolean} atTop
   */
  visible(ids, atTop) {
    const place = atTop || this.#first === undefined ? 0 : Math.max(0, ids.indexOf(this.#first));
    this.#first = ids[place];
    showText(this.button, place === 0 ? "" : `${place} new ${place === 1 ? "video" : "videos"}`);
    return place === 0 ? ids : ids.slice(place);
  }
}
