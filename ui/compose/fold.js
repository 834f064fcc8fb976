import { find } from "../browser/dom.js";

/** On a narrow screen, the form is folded into one line until it is needed, so that the videos come first. */
export class Fold {
  /** @param {() => void} onAsked called when people ask for the form */
  constructor(onAsked) {
    this.button = find(document, "#compose", HTMLButtonElement);
    this.section = find(document, ".composer", HTMLElement);
    this.gallery = find(document, ".gallery", HTMLElement);
    this.narrow = matchMedia("(width < 54rem)");
    this.narrow.addEventListener("change", () => this.#show(this.#unfolded));
    this.button.addEventListener("click", () => (this.#unfolded ? this.close() : onAsked()));
    this.section.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
  }

  open() {
    this.#show(true);
  }

  close() {
    const focused = this.section.contains(document.activeElement);
    this.#show(false);
    // What had the focus is no longer there.
    if (focused && this.narrow.matches) this.button.focus({ preventScroll: true });
  }

  get #unfolded() {
    return this.button.ariaExpanded === "true";
  }

  /** @param {boolean} unfolded */
  #show(unfolded) {
    this.button.ariaExpanded = String(unfolded);
    // The form covers the videos.
    this.gallery.inert = unfolded && this.narrow.matches;
  }
}
