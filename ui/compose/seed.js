import { find } from "../browser/dom.js";

// The API accepts seeds below this.
const SEEDS = 2 ** 32;

/** The seed field: a new seed for each video, unless it is locked. */
export class Seed {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.input = find(form, "#seed", HTMLInputElement);
    this.lock = find(form, "#seed-lock", HTMLButtonElement);
    this.lock.addEventListener("click", () => (this.locked = !this.locked));
    // A seed that was typed in is meant to be used.
    this.input.addEventListener("input", () => (this.locked = this.input.value !== ""));
    find(form, "#seed-dice", HTMLButtonElement).addEventListener("click", () => this.roll());
  }

  get locked() {
    return this.lock.ariaPressed === "true";
  }

  set locked(locked) {
    this.lock.ariaPressed = String(locked);
    this.lock.title = locked ? "Seed locked for all videos" : "New seed for each video";
    if (locked && this.input.value === "") this.roll();
  }

  roll() {
    this.input.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    this.input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** Set and lock the seed. @param {number} seed */
  lockTo(seed) {
    this.input.value = String(seed);
    this.locked = true;
  }

  /** The seeds of the next videos: consecutive, so that all differ. @param {number} count @returns {number[]} */
  next(count) {
    if (!this.locked || this.input.value === "") this.roll();
    const first = Number(this.input.value);
    return Array.from({ length: count }, (_, place) => (first + place) % SEEDS);
  }
}
