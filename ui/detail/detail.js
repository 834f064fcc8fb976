import { copy } from "../browser/clipboard.js";
import { announce, find, setText, showText } from "../browser/dom.js";
import { ApiError } from "../server/api.js";
import { progressLabel, queueLabel, shortPrompt, stateLabel, timeLeftLabel } from "../videos/labels.js";
import { asCurl, asPython } from "../videos/snippets.js";
import { isActive, shownState } from "../videos/state.js";
import { showFacts } from "./rows.js";
import { Screen } from "./screen.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").Means} Means */

// A label that says what was done, for as long as it takes to read.
const SAID_MS = 1_500;
const BUTTONS = /** @type {const} */ (["download", "remix", "again", "cancel", "remove"]);

/**
 * @typedef {object} Doings
 * @property {() => void} close
 * @property {(step: number) => void} step to the next (1) or the last (-1) video of the list
 * @property {(video: Video) => void} downloadPoster
 * @property {() => boolean} withKey whether requests need a key
 */

/** One video with everything about it, above the page. */
export class Detail {
  /** @type {Video | null} */
  #video = null;

  /** @param {Means} means @param {Doings} doings */
  constructor(means, doings) {
    this.means = means;
    this.doings = doings;
    this.dialog = find(document, "#detail", HTMLDialogElement);
    this.screen = new Screen(this.dialog, means.media);
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      doings.close();
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) doings.close(); // the shade around it
    });
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#press("close", () => doings.close());
    this.#press("previous", () => doings.step(-1));
    this.#press("next", () => doings.step(1));
    this.#press("poster", (video) => doings.downloadPoster(video));
    for (const name of BUTTONS) this.#press(name, (video) => means.actions[name](video));
    const texts = {
      "copy-prompt": (/** @type {Video} */ video) => video.prompt,
      "copy-curl": (/** @type {Video} */ video) => asCurl(video, location.origin, doings.withKey()),
      "copy-python": (/** @type {Video} */ video) => asPython(video, location.origin, doings.withKey()),
    };
    for (const [name, text] of Object.entries(texts)) {
      this.#press(name, (video, button) => this.#copy(text(video), button));
    }
  }

  /** The id of the video that is shown, or null. */
  get id() {
    return this.dialog.open ? this.dialog.dataset.id ?? null : null;
  }

  /** Open, before anything is known. @param {string} id */
  open(id) {
    this.dialog.dataset.id = id;
    this.#video = null;
    this.dialog.dataset.state = "";
    setText(this.#part("title"), "Loading…");
    for (const name of [...BUTTONS, "poster", "copies", "working", "facts", "timings", "negative"]) {
      this.#part(name).hidden = true;
    }
    showText(this.#part("problem"), "");
    this.screen.show(null);
    if (!this.dialog.open) this.dialog.showModal();
  }

  close() {
    this.dialog.close();
    this.screen.show(null);
    this.#video = null;
    document.title = "Kinora";
  }

  /** @param {Video} video the one that is open, perhaps newer */
  update(video) {
    if (video.id !== this.id) return;
    this.#video = video;
    this.dialog.dataset.state = shownState(video);
    document.title = `${shortPrompt(video.prompt)} – Kinora`;
    setText(this.#part("title"), video.prompt || "(no prompt)");
    showText(this.#part("negative"), video.negative_prompt ? `Not: ${video.negative_prompt}` : "");
    setText(this.#part("state"), stateLabel(video));
    showText(this.#part("problem"), video.status === "failed" ? video.error?.message ?? "It failed." : "");
    this.screen.show(video);
    this.#offer(video);
    showFacts(this.dialog, video);
    this.tick();
  }

  tick() {
    const video = this.#video;
    const active = video !== null && isActive(video);
    this.#part("working").hidden = !active;
    if (!active) return;
    const running = video.status === "in_progress";
    const left = this.means.secondsLeft(video);
    setText(this.#part("stage"), running ? progressLabel(video) : queueLabel(video.queue_position));
    setText(this.#part("left"), left === null ? "" : timeLeftLabel(left));
    const bar = find(this.dialog, "progress", HTMLProgressElement);
    bar.hidden = !running;
    bar.value = video.progress;
  }

  /** @param {ApiError} error */
  fail(error) {
    setText(this.#part("title"), error.status === 404 ? "There is no such video" : "This video can't be shown");
    showText(this.#part("problem"), error.status === 404 ? "It was deleted, or never there." : error.message);
  }

  /** @param {Video} video */
  #offer(video) {
    const done = video.status === "completed";
    const made = video.size !== null && video.prompt !== "";
    this.#part("download").hidden = this.#part("poster").hidden = !done;
    this.#part("remix").hidden = this.#part("copies").hidden = !made;
    this.#part("again").hidden = video.status !== "failed" || !made;
    this.#part("cancel").hidden = !isActive(video);
    this.#part("remove").hidden = false;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const elsewhere = event.target instanceof HTMLMediaElement || event.ctrlKey || event.metaKey || event.altKey;
    if (!step || elsewhere) return;
    event.preventDefault();
    this.doings.step(step);
  }

  /** @param {string} text @param {HTMLElement} button */
  async #copy(text, button) {
    const done = await copy(text, this.dialog);
    const label = find(button, ".label", HTMLElement);
    const usual = (button.dataset.label ??= label.textContent ?? "");
    setText(label, done ? "Copied" : "Can't copy here");
    announce(label.textContent ?? "");
    setTimeout(() => setText(label, usual), SAID_MS);
  }

  /** @param {string} name @param {(video: Video, button: HTMLElement) => void} action */
  #press(name, action) {
    const button = this.#part(name);
    const needless = ["close", "previous", "next"].includes(name);
    button.addEventListener("click", () => {
      if (this.#video || needless) action(/** @type {Video} */ (this.#video), button);
    });
  }

  /** @param {string} name */
  #part(name) {
    return find(this.dialog, `[data-part=${name}]`, HTMLElement);
  }
}
