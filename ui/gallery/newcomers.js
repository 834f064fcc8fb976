import { find, showText } from "../browser/dom.js";

/** Keeps what comes in at the top from pushing away what one is looking at further down. */
export class Newcomers {
  /** @type {string | undefined} the first video that is shown */
  #first;

  constructor() {
    this.button = find(document, "#newcomers", HTMLButtonElement);
    this.button.addEventListener("click", () => window.scrollTo({ top: 0 }));
  }

  /**
   * The part of the list to show: all of it at its top, and elsewhere from the same video on.
   *
   * @param {string[]} ids
   * @param {boolean} atTop
   */
  shown(ids, atTop) {
    const place = atTop || this.#first === undefined ? 0 : Math.max(0, ids.indexOf(this.#first));
    this.#first = ids[place];
    showText(this.button, place === 0 ? "" : `${place} new ${place === 1 ? "video" : "videos"}`);
    return place === 0 ? ids : ids.slice(place);
  }
}
