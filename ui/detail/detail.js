import { copy } from "../browser/clipboard.js";
import { announce, find, setText, showText } from "../browser/dom.js";
import { ApiError } from "../server/api.js";
import { ACTIONS, availableActions } from "../videos/available_actions.js";
import { activityLabel, failureLabel, shortPrompt, stateLabel, timeLeftLabel, titleLabel, warningsLabel } from "../videos/labels.js";
import { Preview } from "../videos/preview.js";
import { asCurl, asPython } from "../videos/snippets.js";
import { displayState, isActive } from "../videos/state.js";
import { showFacts } from "./facts_list.js";
import { Player } from "./player.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").ViewDependencies} ViewDependencies */

// How long a button says that it has copied.
const COPIED_MS = 1_500;

/**
 * @typedef {object} DetailHandlers
 * @property {() => void} close
 * @property {(step: number) => void} step to the next (1) or the previous (-1) video of the list
 * @property {(video: Video) => void} downloadPoster
 * @property {() => boolean} withKey whether requests need an API key
 */

/** The dialog with everything about one video. */
export class Detail {
  /** @type {Video | null} */
  #video = null;

  /** @param {ViewDependencies} dependencies @param {DetailHandlers} handlers */
  constructor({ media, actions, secondsLeft }, handlers) {
    this.secondsLeft = secondsLeft;
    this.handlers = handlers;
    this.dialog = find(document, "#detail", HTMLDialogElement);
    this.player = new Player(this.dialog, media);
    this.preview = new Preview(this.#part("screen"), media);
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      handlers.close();
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) handlers.close(); // the backdrop
    });
    this.dialog.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#onClick("close", () => handlers.close());
    this.#onClick("previous", () => handlers.step(-1));
    this.#onClick("next", () => handlers.step(1));
    this.#onClick("poster", (video) => handlers.downloadPoster(video));
    for (const name of ACTIONS) this.#onClick(name, (video) => actions[name](video));
    const texts = {
      "copy-prompt": (/** @type {Video} */ video) => video.prompt,
      "copy-curl": (/** @type {Video} */ video) => asCurl(video, location.origin, handlers.withKey()),
      "copy-python": (/** @type {Video} */ video) => asPython(video, location.origin, handlers.withKey()),
    };
    for (const [name, text] of Object.entries(texts)) {
      this.#onClick(name, (video, button) => this.#copy(text(video), button));
    }
  }

  /** The id of the video that is shown, or null. */
  get id() {
    return this.dialog.open ? this.dialog.dataset.id ?? null : null;
  }

  /** Open the dialog, while the video is loading. @param {string} id */
  open(id) {
    this.dialog.dataset.id = id;
    this.#video = null;
    this.dialog.dataset.state = "";
    setText(this.#part("title"), "Loading…");
    for (const name of [...ACTIONS, "poster", "copies", "working", "facts", "timings", "negative", "warnings"]) {
      this.#part(name).hidden = true;
    }
    showText(this.#part("problem"), "");
    this.player.show(null);
    this.preview.set(null);
    if (!this.dialog.open) this.dialog.showModal();
  }

  close() {
    this.dialog.close();
    setText(this.#part("title"), "");
    this.player.show(null);
    this.preview.set(null);
    this.#video = null;
    document.title = "Kinora";
  }

  /** Show the video, if it is the open one. @param {Video} video */
  update(video) {
    if (video.id !== this.id) return;
    this.#video = video;
    this.dialog.dataset.state = displayState(video);
    document.title = `${shortPrompt(video.prompt)} – Kinora`;
    setText(this.#part("title"), titleLabel(video));
    showText(this.#part("negative"), video.negative_prompt ? `Negative prompt: ${video.negative_prompt}` : "");
    showText(this.#part("warnings"), warningsLabel(video));
    setText(this.#part("state"), stateLabel(video));
    showText(this.#part("problem"), failureLabel(video));
    this.player.show(video);
    this.preview.set(video);
    this.preview.show();
    this.#showButtons(video);
    showFacts(this.dialog, video);
    this.tick();
  }

  tick() {
    const video = this.#video;
    const active = video !== null && isActive(video);
    this.#part("working").hidden = !active;
    if (!active) return;
    setText(this.#part("stage"), activityLabel(video));
    setText(this.#part("left"), timeLeftLabel(video, this.secondsLeft(video)));
    const bar = find(this.dialog, "progress", HTMLProgressElement);
    bar.hidden = video.status !== "in_progress";
    bar.value = video.progress;
  }

  /** @param {ApiError} error */
  fail(error) {
    setText(this.#part("title"), error.status === 404 ? "Video not found" : "Couldn't load this video");
    showText(this.#part("problem"), error.status === 404 ? "It may have been deleted." : error.message);
  }

  /** @param {Video} video */
  #showButtons(video) {
    const available = availableActions(video);
    for (const name of ACTIONS) this.#part(name).hidden = !available[name];
    this.#part("poster").hidden = !available.download;
    this.#part("copies").hidden = !available.remix;
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const ignored = event.target instanceof HTMLMediaElement || event.ctrlKey || event.metaKey || event.altKey;
    if (!step || ignored) return;
    event.preventDefault();
    this.handlers.step(step);
  }

  /** @param {string} text @param {HTMLElement} button */
  async #copy(text, button) {
    const copied = await copy(text, this.dialog);
    const label = find(button, ".label", HTMLElement);
    const original = (button.dataset.label ??= label.textContent ?? "");
    setText(label, copied ? "Copied" : "Couldn't copy");
    announce(label.textContent ?? "");
    setTimeout(() => setText(label, original), COPIED_MS);
  }

  /** @param {string} name @param {(video: Video, button: HTMLElement) => void} action */
  #onClick(name, action) {
    const button = this.#part(name);
    const needsVideo = !["close", "previous", "next"].includes(name);
    button.addEventListener("click", () => {
      if (this.#video || !needsVideo) action(/** @type {Video} */ (this.#video), button);
    });
  }

  /** @param {string} name */
  #part(name) {
    return find(this.dialog, `[data-part=${name}]`, HTMLElement);
  }
}
