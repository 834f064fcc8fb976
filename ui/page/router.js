const VIDEO = /^\/videos\/([A-Za-z0-9_-]{1,64})$/;

/** The page's address: which video is open, and the query of the list. */
export class Router {
  /** Whether the previous entry of the history is the list. */
  #fromList = false;

  /** @param {(id: string | null) => void} onOpen called with the open video, or null, when it changes */
  constructor(onOpen) {
    this.onOpen = onOpen;
    // Only part of the list exists as elements, so the browser can't restore its position.
    history.scrollRestoration = "manual";
    window.addEventListener("popstate", () => {
      this.#fromList = false;
      this.onOpen(this.videoId);
    });
    // Links to videos remain links: Ctrl and a click open a tab, as everywhere.
    document.addEventListener("click", (event) => this.#follow(event));
  }

  /** The id of the video that is open, or null. */
  get videoId() {
    return VIDEO.exec(location.pathname)?.[1] ?? null;
  }

  /** @param {string} id */
  showVideo(id) {
    const path = `/videos/${id}`;
    if (this.videoId === null) {
      history.pushState(null, "", path + location.search);
      this.#fromList = true;
    } else {
      history.replaceState(null, "", path + location.search);
    }
    this.onOpen(id);
  }

  /** Return to the list. */
  close() {
    if (this.videoId === null) return;
    if (this.#fromList) history.back();
    else history.replaceState(null, "", `/${location.search}`);
    // Now, and not only after the navigation: the caller may need the list.
    this.onOpen(null);
  }

  /** @param {string} search "" or "?..." */
  setSearch(search) {
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
    if (id) this.showVideo(id);
    // Without changing the address: going back to it would scroll there again.
    else this.#skipTo(document.querySelector(link.hash));
  }
}
