const VIDEO = /^\/videos\/([A-Za-z0-9_-]{1,64})$/;

/** The address of the page: which video is open, and which are listed. */
export class Router {
  /** Whether the page before in the history is the list. */
  #fromList = false;

  /** @param {(id: string | null) => void} onOpen called with the open video, or null, when it changes */
  constructor(onOpen) {
    this.onOpen = onOpen;
    // The list is longer than what exists of it: where it was scrolled to is the gallery's to know.
    history.scrollRestoration = "manual";
    window.addEventListener("popstate", () => {
      this.#fromList = false;
      this.onOpen(this.open);
    });
    // Links to videos stay links: a click with Ctrl opens a tab, as everywhere.
    document.addEventListener("click", (event) => this.#follow(event));
  }

  /** The id of the video that is open, or null. */
  get open() {
    return VIDEO.exec(location.pathname)?.[1] ?? null;
  }

  /** @param {string} id */
  show(id) {
    const path = `/videos/${id}`;
    if (this.open === null) {
      history.pushState(null, "", path + location.search);
      this.#fromList = true;
    } else {
      history.replaceState(null, "", path + location.search);
    }
    this.onOpen(id);
  }

  /** Back to the list. */
  close() {
    if (this.open === null) return;
    if (this.#fromList) history.back();
    else history.replaceState(null, "", `/${location.search}`);
    // Not only when the history is there: what is done next may need the list.
    this.onOpen(null);
  }

  /** @param {string} search "" or "?..." */
  list(search) {
    history.replaceState(null, "", location.pathname + search);
  }

  /** @param {Element | null} target */
  #skipTo(target) {
    if (target instanceof HTMLElement) target.focus();
  }

  /** @param {MouseEvent} event */
  #follow(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const special = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || special || link.origin !== location.origin || link.hasAttribute("download")) return;
    const id = VIDEO.exec(link.pathname)?.[1];
    if (!id && !link.hash) return;
    event.preventDefault();
    if (id) this.show(id);
    // Not with the address: going back to it would scroll there again.
    else this.#skipTo(document.querySelector(link.hash));
  }
}
