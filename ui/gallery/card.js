import { copyOf, find, setText } from "../browser/dom.js";
import { ACTIONS, availableActions } from "../videos/available_actions.js";
import {
  activityLabel, ageLabel, failureLabel, lengthLabel, momentLabel, settingsLabel, stateLabel, timeLeftLabel, titleLabel,
} from "../videos/labels.js";
import { Preview } from "../videos/preview.js";
import { displayState, isActive } from "../videos/state.js";
import { Poster } from "./poster.js";

/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../videos/available_actions.js").ViewDependencies} ViewDependencies */

/** A video in the gallery. Cards are reused for other videos while scrolling. */
export class Card {
  /** @type {Video | null} */
  #video = null;
  #scrolledPast = false;
  /** Its position in the list. */
  index = -1;

  /** @param {ViewDependencies} dependencies */
  constructor({ media, actions, secondsLeft }) {
    this.secondsLeft = secondsLeft;
    this.element = copyOf("#card", HTMLElement);
    this.link = find(this.element, "a", HTMLAnchorElement);
    this.bar = find(this.element, "progress", HTMLProgressElement);
    this.poster = new Poster(this.element, media);
    this.preview = new Preview(this.poster.box, media);
    this.parts = Object.fromEntries(
      [...this.element.querySelectorAll("[data-part]")].map((part) =>
        [part.getAttribute("data-part"), /** @type {HTMLElement} */ (part)]),
    );
    for (const name of ACTIONS) {
      this.#part(name).addEventListener("click", () => this.#video && actions[name](this.#video));
    }
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Delete" && this.#video) actions.remove(this.#video);
    });
  }

  /** Show another video. @param {Video} video @param {boolean} scrolledPast whether the list is being scrolled */
  show(video, scrolledPast) {
    this.release();
    this.#scrolledPast = scrolledPast;
    const { id } = video;
    this.element.dataset.id = id;
    this.link.href = `/videos/${id}`;
    setText(this.link, titleLabel(video));
    this.link.id = `prompt-${id}`;
    this.element.setAttribute("aria-labelledby", this.link.id);
    this.element.setAttribute("aria-describedby", (this.#part("state").id = `state-${id}`));
    for (const part of [this.bar, ...ACTIONS.map((name) => this.#part(name))]) {
      part.setAttribute("aria-describedby", this.link.id);
    }
    setText(this.#part("settings"), settingsLabel(video));
    const age = find(this.element, "time", HTMLTimeElement);
    age.dateTime = new Date(video.created_at * 1000).toISOString();
    age.title = momentLabel(video.created_at);
    this.update(video);
  }

  /** Show a newer state of the same video. @param {Video} video */
  update(video) {
    this.#video = video;
    const state = displayState(video);
    const focused = document.activeElement;
    this.element.dataset.state = state;
    const done = video.status === "completed";
    setText(this.#part("state"), stateLabel(video));
    this.#part("working").hidden = !isActive(video);
    this.bar.hidden = video.status !== "in_progress";
    this.bar.value = video.progress;
    setText(this.#part("reason"), failureLabel(video));
    const length = done && video.num_frames && video.fps ? lengthLabel(video.num_frames, video.fps) : "";
    setText(this.#part("length"), length);
    this.poster.set(done ? video : null);
    this.preview.set(video);
    if (!this.#scrolledPast) this.#showPictures();
    const available = availableActions(video);
    for (const name of ACTIONS) this.#part(name).hidden = !available[name];
    this.tick();
    // The focused button has just been hidden.
    if (focused instanceof HTMLElement && focused.hidden && this.element.contains(focused)) this.focus();
  }

  tick() {
    const video = this.#video;
    if (!video) return;
    setText(this.#part("age"), ageLabel(video.created_at));
    if (!isActive(video)) return;
    setText(this.#part("stage"), activityLabel(video));
    setText(this.#part("left"), timeLeftLabel(video, this.secondsLeft(video)));
  }

  /** @param {{x: number, y: number}} position @param {number} index @param {number} count -1 if unknown */
  moveTo({ x, y }, index, count) {
    this.index = index;
    this.element.style.transform = `translate(${x}px, ${y}px)`;
    this.element.setAttribute("aria-posinset", String(index + 1));
    this.element.setAttribute("aria-setsize", String(count));
  }

  /** Scrolling has stopped here. */
  settle() {
    this.#scrolledPast = false;
    this.#showPictures();
  }

  #showPictures() {
    this.preview.show();
    this.poster.show();
  }

  /** Free the video, as the card is no longer shown. */
  release() {
    this.poster.set(null);
    this.preview.set(null);
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
