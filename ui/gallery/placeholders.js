import { find } from "../browser/dom.js";
import { isFiltered } from "../server/query.js";

/** @typedef {import("../videos/library.js").Library} Library */

/** The texts around the videos: loading, none yet, none found, end of the list. */
export class Placeholders {
  constructor() {
    this.loading = find(document, "#loading", HTMLElement);
    this.empty = find(document, "#empty", HTMLElement);
    this.unmatched = find(document, "#unmatched", HTMLElement);
    this.end = find(document, "#end", HTMLElement);
  }

  /** @param {Library} library */
  show({ loaded, ids, hasMore, query }) {
    const none = loaded && ids.length === 0 && !hasMore;
    this.loading.hidden = loaded;
    this.empty.hidden = !none || isFiltered(query);
    this.unmatched.hidden = !none || !isFiltered(query);
    // Short lists need no end: it is in view anyway.
    this.end.hidden = !loaded || hasMore || ids.length < 12;
  }
}
