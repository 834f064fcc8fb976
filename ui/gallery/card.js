import { copyOf, find, setText } from "../browser/dom.js";
import {
  ageLabel, lengthLabel, momentLabel, progressLabel, queueLabel, settingsLine, stateLabel, timeLeftLabel,
} from "../videos/labels.js";
import { isActive, shownState } from "../videos/state.js";
import { Poster } from "./poster.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").Means} Means */

const BUTTONS = /** @type {const} */ (["download", "remix", "again", "cancel", "remove"]);

/** One video of the gallery. It is used for one video after another, as one scrolls. */
export class Card {
  /** @type {Video | null} */
  #video = null;
  #passing = false;
  /** Its place in the list. */
  index = -1;

  /** @param {Means} means */
  constructor(means) {
    this.means = means;
    this.element = copyOf("#card", HTMLElement);
    this.link = find(this.element, "a", HTMLAnchorElement);
    this.bar = find(this.element, "progress", HTMLProgressElement);
    this.poster = new Poster(this.element, means.media);
    this.parts = Object.fromEntries(
      [...this.element.querySelectorAll("[data-part]")].map((part) =>
        [part.getAttribute("data-part"), /** @type {HTMLElement} */ (part)]),
    );
    for (const name of BUTTONS) {
      this.#part(name).addEventListener("click", () => this.#video && means.actions[name](this.#video));
    }
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Delete" && this.#video) means.actions.remove(this.#video);
    });
  }

  /** Become the card of another video. @param {Video} video @param {boolean} passing only scrolled by */
  show(video, passing) {
    this.release();
    this.#passing = passing;
    const { id } = video;
    this.element.dataset.id = id;
    this.link.href = `/videos/${id}`;
    setText(this.link, video.prompt || "(no prompt)");
    this.link.id = `prompt-${id}`;
    this.element.setAttribute("aria-labelledby", this.link.id);
    this.element.setAttribute("aria-describedby", (this.#part("state").id = `state-${id}`));
    for (const part of [this.bar, ...BUTTONS.map((name) => this.#part(name))]) {
      part.setAttribute("aria-describedby", this.link.id);
    }
    setText(this.#part("settings"), settingsLine(video));
    const age = find(this.element, "time", HTMLTimeElement);
    age.dateTime = new Date(video.created_at * 1000).toISOString();
    age.title = momentLabel(video.created_at);
    this.update(video);
  }

  /** The same video, newer. @param {Video} video */
  update(video) {
    this.#video = video;
    const state = shownState(video);
    const focused = document.activeElement;
    this.element.dataset.state = state;
    const done = video.status === "completed";
    setText(this.#part("state"), stateLabel(video));
    this.#part("working").hidden = !isActive(video);
    this.bar.hidden = video.status !== "in_progress";
    this.bar.value = video.progress;
    setText(this.#part("reason"), reasonOf(video));
    const length = done && video.num_frames && video.fps ? lengthLabel(video.num_frames, video.fps) : "";
    setText(this.#part("length"), length);
    this.poster.set(done ? video : null);
    if (!this.#passing) this.poster.show();
    this.#part("download").hidden = !done;
    this.#part("cancel").hidden = !isActive(video);
    const made = video.prompt !== "" && video.size !== null;
    this.#part("remix").hidden = !made;
    this.#part("again").hidden = video.status !== "failed" || !made;
    this.tick();
    // A button that went away under the hands of the keyboard.
    if (focused instanceof HTMLElement && focused.hidden && this.element.contains(focused)) this.focus();
  }

  tick() {
    const video = this.#video;
    if (!video) return;
    setText(this.#part("age"), ageLabel(video.created_at));
    if (!isActive(video)) return;
    const running = video.status === "in_progress";
    setText(this.#part("stage"), running ? progressLabel(video) : queueLabel(video.queue_position));
    const left = this.means.secondsLeft(video);
    setText(this.#part("left"), left === null ? "" : timeLeftLabel(left));
  }

  /** @param {{x: number, y: number}} place @param {number} index @param {number} count -1: unknown */
  place({ x, y }, index, count) {
    this.index = index;
    this.element.style.transform = `translate(${x}px, ${y}px)`;
    this.element.setAttribute("aria-posinset", String(index + 1));
    this.element.setAttribute("aria-setsize", String(count));
  }

  /** One stays with this card. */
  settle() {
    this.#passing = false;
    this.poster.show();
  }

  /** Nobody sees this card any more. */
  release() {
    this.poster.set(null);
    this.#video = null;
  }

  focus() {
    this.link.focus({ preventScroll: true });
  }

  /** @param {string} name */
  #part(name) {
    const part = this.parts[name];
    if (!part) throw new TypeError(`a card has no ${name}`);
    return part;
  }
}

/** @param {Video} video why there is no picture, or "" */
function reasonOf(video) {
  if (video.status !== "failed") return "";
  return video.error?.message ?? "It failed.";
}
