import { find } from "../browser/dom.js";
import { ALL_VIDEOS, dayBefore } from "../server/query.js";

/** @typedef {import("../server/query.js").Query} Query */

// Long enough to keep typing, short enough to seem immediate.
const TYPING_MS = 250;
/** @type {Record<string, number>} the time presets, and how many days before today they start */
const DAYS = { today: 0, week: 6, month: 29 };

/** The search and the filters above the gallery. */
export class Toolbar {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(query: Query) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.form = find(document, "#filters", HTMLFormElement);
    this.search = find(this.form, "#q", HTMLInputElement);
    this.time = find(this.form, "#time", HTMLSelectElement);
    this.from = find(this.form, "#from", HTMLInputElement);
    this.to = find(this.form, "#to", HTMLInputElement);
    this.days = find(this.form, "#days", HTMLElement);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#changed(0);
    });
    this.form.addEventListener("input", (event) => {
      if (event.target === this.time) this.#chooseTime();
      this.#changed(event.target === this.search ? TYPING_MS : 0);
    });
    for (const button of document.querySelectorAll("[data-clear-filters]")) {
      button.addEventListener("click", () => this.clear());
    }
  }

  /** @param {Query} query */
  show({ q, status, from, to }) {
    this.search.value = q;
    find(this.form, `[name=status][value="${status}"]`, HTMLInputElement).checked = true;
    this.from.value = from;
    this.to.value = to;
    const preset = Object.keys(DAYS).find((name) => !to && from === dayBefore(DAYS[name] ?? 0));
    this.time.value = preset ?? (from || to ? "between" : "");
    this.days.hidden = this.time.value !== "between";
  }

  clear() {
    this.show(ALL_VIDEOS);
    this.#changed(0);
    this.search.focus();
  }

  #chooseTime() {
    const chosen = this.time.value;
    this.days.hidden = chosen !== "between";
    if (chosen === "between") return;
    this.from.value = chosen === "" ? "" : dayBefore(DAYS[chosen] ?? 0);
    this.to.value = "";
  }

  /** @param {number} wait */
  #changed(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.onChange(this.#read()), wait);
  }

  /** @returns {Query} */
  #read() {
    const status = String(new FormData(this.form).get("status") ?? "");
    return { q: this.search.value.trim(), status, from: this.from.value, to: this.to.value };
  }
}
