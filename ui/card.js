import { contentUrl } from "./api.js";
import { announce, find, setText, showText } from "./dom.js";
import {
  ageLabel, isActive, isCancelled, progressLabel, queueLabel, settingsLine, stateLabel, tookLabel,
} from "./format.js";

/** @typedef {import("./types.js").Video} Video */

const CONFIRM_MS = 4_000;
// Below this width a video is shown larger than it is, and smoothing would only blur it.
const SMALL_PX = 256;
// About what four lines of a card hold.
const LONG_PROMPT = 160;

/**
 * @typedef {object} Actions what the buttons do; each rejects with the reason if it can't
 * @property {(video: Video) => Promise<void>} cancel
 * @property {(video: Video) => Promise<void>} remove
 * @property {(video: Video) => void} useAgain
 */

/** One video in the list. It changes in place, so that a playing video plays on. */
export class Card {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #confirming;

  /** @param {Video} video @param {Actions} actions */
  constructor(video, actions) {
    const template = find(document, "#card", HTMLTemplateElement);
    const copy = document.importNode(template.content, true);
    this.item = find(copy, "li", HTMLLIElement);
    this.article = find(copy, "article", HTMLElement);
    this.player = find(copy, "video", HTMLVideoElement);
    this.bar = find(copy, "progress", HTMLProgressElement);
    this.cancelButton = find(copy, "[data-part=cancel]", HTMLButtonElement);
    this.deleteButton = find(copy, "[data-part=delete]", HTMLButtonElement);
    this.againButton = find(copy, "[data-part=again]", HTMLButtonElement);
    this.video = video;
    this.actions = actions;
    this.#fix(video);
    this.update(video);
  }

  /** @param {string} name */
  part(name) {
    return find(this.item, `[data-part=${name}]`, HTMLElement);
  }

  /** @param {Video} video the same video, newer */
  update(video) {
    this.video = video;
    this.article.dataset.status = isCancelled(video) ? "cancelled" : video.status;
    setText(this.part("badge"), stateLabel(video));
    setText(this.part("created"), ageLabel(video.created_at));
    setText(this.part("took"), tookLabel(video));
    this.#updateScreen(video);
    this.part("download").hidden = video.status !== "completed";
    if (!isActive(video) && document.activeElement === this.cancelButton) this.againButton.focus();
    this.cancelButton.hidden = !isActive(video);
  }

  /** @param {Video} video */
  #updateScreen(video) {
    const running = video.status === "in_progress";
    this.part("working").hidden = !running;
    setText(this.part("stage"), running ? progressLabel(video) : "");
    this.bar.value = video.progress;
    showText(this.part("message"), messageOf(video));
    const done = video.status === "completed";
    if (done && !this.player.src) {
      this.player.poster = contentUrl(video.id, "thumbnail");
      this.player.src = contentUrl(video.id);
    }
    this.player.hidden = !done;
  }

  /** What never changes in the life of a video. @param {Video} video */
  #fix(video) {
    const prompt = this.part("prompt");
    prompt.id = `prompt-of-${video.id}`;
    prompt.textContent = video.prompt || "(no prompt)";
    this.item.dataset.id = video.id;
    for (const element of [this.article, this.player, this.bar]) {
      element.setAttribute("aria-labelledby", prompt.id);
    }
    this.player.classList.toggle("small", parseInt(video.size ?? "0", 10) < SMALL_PX);
    const download = find(this.item, "[data-part=download]", HTMLAnchorElement);
    download.href = contentUrl(video.id);
    download.download = `${video.id}.mp4`;
    for (const button of [download, this.cancelButton, this.againButton, this.deleteButton]) {
      button.setAttribute("aria-describedby", prompt.id);
    }
    showText(this.part("negative"), video.negative_prompt && `Not: ${video.negative_prompt}`);
    setText(this.part("settings"), settingsLine(video));
    const created = find(this.item, "time", HTMLTimeElement);
    const date = new Date(video.created_at * 1000);
    created.dateTime = date.toISOString();
    created.title = date.toLocaleString("en");
    this.#listen(prompt);
  }

  /** @param {HTMLElement} prompt */
  #listen(prompt) {
    this.againButton.addEventListener("click", () => this.actions.useAgain(this.video));
    this.cancelButton.addEventListener("click", () =>
      this.#act(this.cancelButton, this.actions.cancel));
    this.deleteButton.addEventListener("click", (event) => this.#delete(event));
    const unfold = this.part("unfold");
    const text = this.video.prompt;
    unfold.hidden = text.length <= LONG_PROMPT && text.split("\n").length <= 4;
    unfold.addEventListener("click", () => {
      const all = prompt.classList.toggle("all");
      unfold.setAttribute("aria-expanded", String(all));
      setText(unfold, all ? "Show less" : "Show all");
    });
  }

  /** @param {MouseEvent} event */
  #delete(event) {
    if (!this.deleteButton.classList.contains("confirm")) {
      this.#confirm(true);
      this.#confirming = setTimeout(() => this.#confirm(false), CONFIRM_MS);
      announce("Choose Delete again to delete this video for good.");
    } else if (event.detail < 2) {
      // The second half of a double click (detail 2) is no answer to a question.
      this.#confirm(false);
      this.#act(this.deleteButton, this.actions.remove);
    }
  }

  /** @param {boolean} asking */
  #confirm(asking) {
    clearTimeout(this.#confirming);
    this.deleteButton.classList.toggle("confirm", asking);
    setText(this.deleteButton, asking ? "Really delete?" : "Delete");
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {(video: Video) => Promise<void>} action
   */
  async #act(button, action) {
    // A disabled button would lose the focus of the keyboard.
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    try {
      await action(this.video);
      showText(this.part("problem"), "");
    } catch (error) {
      showText(this.part("problem"), error instanceof Error ? error.message : String(error));
    } finally {
      button.ariaDisabled = null;
    }
  }
}

/** @param {Video} video what stands in place of the picture, or "" */
function messageOf(video) {
  if (video.status === "queued") return queueLabel(video.queue_position);
  if (isCancelled(video)) return "Cancelled";
  if (video.status === "failed") return video.error?.message ?? "It failed.";
  return "";
}
