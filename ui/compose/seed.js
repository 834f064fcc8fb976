import { find } from "../browser/dom.js";

// The range that the API takes.
const SEEDS = 2 ** 32;

/** The seed: a new one for each video, unless it is locked. */
export class Seed {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.input = find(form, "#seed", HTMLInputElement);
    this.lock = find(form, "#seed-lock", HTMLButtonElement);
    this.lock.addEventListener("click", () => (this.locked = !this.locked));
    // Whoever writes a seed wants that one.
    this.input.addEventListener("input", () => (this.locked = this.input.value !== ""));
    find(form, "#seed-dice", HTMLButtonElement).addEventListener("click", () => this.roll());
  }

  get locked() {
    return this.lock.ariaPressed === "true";
  }

  set locked(locked) {
    this.lock.ariaPressed = String(locked);
    this.lock.title = locked ? "This seed is used until it is unlocked" : "Each video gets a new seed";
    if (locked && this.input.value === "") this.roll();
  }

  roll() {
    this.input.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    this.input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** Use this one. @param {number} seed */
  fix(seed) {
    this.input.value = String(seed);
    this.locked = true;
  }

  /** The seeds of the next videos, all different. @param {number} count @returns {number[]} */
  next(count) {
    if (!this.locked || this.input.value === "") this.roll();
    const first = Number(this.input.value);
    return Array.from({ length: count }, (_, place) => (first + place) % SEEDS);
  }
}
