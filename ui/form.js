import { find, setText, showText } from "./dom.js";
import { frameChoices, lengthLabel, sizeLabel } from "./format.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").VideoRequest} VideoRequest */
/** @typedef {import("./api.js").ApiError} ApiError */
/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Control */

// The API's limit, in characters (a `maxlength` would count an emoji twice and cut a paste unseen).
const MAX_PROMPT = 4096;
const NUMBERS = /** @type {const} */ (["num_inference_steps", "guidance_scale", "fps"]);
/** @type {Record<string, string>} where a complaint about a field that the form lacks is shown */
const SHOWN_AT = { width: "size", height: "size", seconds: "num_frames" };

/** The form that asks for a video. Its fields have the names of the API's. */
export class VideoForm {
  /** @type {Model | null} */
  #model = null;

  /** @param {(request: VideoRequest) => Promise<void>} send */
  constructor(send) {
    this.form = find(document, "#video-form", HTMLFormElement);
    this.button = find(document, "#submit", HTMLButtonElement);
    this.prompt = find(document, "#prompt", HTMLTextAreaElement);
    this.size = find(document, "#size", HTMLSelectElement);
    this.frames = find(document, "#num_frames", HTMLSelectElement);
    this.problem = find(document, "#form-error", HTMLElement);
    this.send = send;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.form.addEventListener("input", (event) => this.#edited(event.target));
  }

  /** @param {Model} model */
  setModel(model) {
    this.#model = model;
    const notice = model.demo ? `This is a demo model: ${model.title}.` : "";
    showText(find(document, "#demo-notice", HTMLElement), notice);
    for (const name of NUMBERS) {
      const { min, max, default: value } = model[name];
      const input = find(this.form, `#${name}`, HTMLInputElement);
      Object.assign(input, { min, max });
      input.value ||= String(value);
      setText(find(this.form, `#${name}-hint`, HTMLElement), `${min} to ${max}`);
    }
    const sizes = new Set([...model.sizes, model.default_size]);
    this.size.replaceChildren(...[...sizes].map((size) => new Option(sizeLabel(size), size)));
    this.size.value = model.default_size;
    const counts = frameChoices(model.num_frames).map(String);
    this.frames.replaceChildren(...counts.map((count) => new Option("", count)));
    this.frames.value = String(model.num_frames.default);
    this.#labelLengths();
    this.#offer(model.example_prompts);
  }

  /** Take over the settings of a video. @param {Video} video */
  fill(video) {
    if (video.size !== null) {
      choose(this.size, video.size, sizeLabel(video.size));
      choose(this.frames, String(video.num_frames), "");
    }
    const { prompt, negative_prompt, num_inference_steps, guidance_scale, fps, seed } = video;
    const rest = { prompt, negative_prompt, num_inference_steps, guidance_scale, fps, seed };
    for (const [name, value] of Object.entries(rest)) this.#control(name).value = String(value ?? "");
    this.#labelLengths();
    this.#clearErrors();
    this.prompt.focus();
  }

  /** Show why a request was refused, beside its field if it names one. @param {ApiError} error */
  showError(error) {
    const name = SHOWN_AT[error.param ?? ""] ?? error.param ?? "";
    if (this.form.elements.namedItem(name)) {
      this.#mark(name, error.message);
      this.#focusFirstError();
    } else {
      showText(this.problem, error.message);
      this.problem.scrollIntoView({ block: "nearest" });
    }
  }

  async #submit() {
    if (this.button.disabled) return;
    this.#clearErrors();
    if (!this.#check()) return this.#focusFirstError();
    const focused = document.activeElement === this.button;
    this.button.disabled = true;
    setText(this.button, "Sending…");
    try {
      await this.send(this.#request());
    } finally {
      this.button.disabled = false;
      setText(this.button, "Create video");
      if (focused && document.activeElement === document.body) this.button.focus();
    }
  }

  /** @returns {VideoRequest} an empty field is left out, so that the server decides */
  #request() {
    /** @type {Record<string, string | number>} */
    const filled = this.#model ? { model: this.#model.id } : {};
    for (const control of this.#controls()) {
      const { name, value } = control;
      if (value.trim() === "") continue;
      const isText = control instanceof HTMLTextAreaElement || name === "size";
      filled[name] = isText ? value.trim() : Number(value);
    }
    return { prompt: "", ...filled };
  }

  /** @returns {boolean} whether all fields can be sent; marks those that can't */
  #check() {
    if (!this.prompt.value.trim()) this.#mark("prompt", "Write what the video should show.");
    for (const control of this.#controls()) {
      const length = [...control.value.trim()].length;
      if (length > MAX_PROMPT) {
        this.#mark(control.name, `${length} characters; at most ${MAX_PROMPT} fit.`);
      } else if (control instanceof HTMLInputElement && !control.validity.valid) {
        this.#mark(control.name, control.validationMessage);
      }
    }
    return this.form.querySelector("[aria-invalid=true]") === null;
  }

  /** @param {EventTarget | null} target */
  #edited(target) {
    if (!(target instanceof HTMLElement)) return;
    this.#mark(target.id, "");
    if (target.id === "fps" || target === this.frames) this.#labelLengths();
  }

  /** @param {string} name @param {string} message "" when all is well */
  #mark(name, message) {
    this.#control(name).ariaInvalid = message ? "true" : null;
    showText(find(this.form, `#${name}-error`, HTMLElement), message);
  }

  #clearErrors() {
    for (const { name } of this.#controls()) this.#mark(name, "");
    showText(this.problem, "");
  }

  #focusFirstError() {
    this.#controls().find((control) => control.ariaInvalid === "true")?.focus();
  }

  #labelLengths() {
    const fps = Number(this.#control("fps").value) || this.#model?.fps.default || 1;
    for (const option of this.frames.options) setText(option, lengthLabel(Number(option.value), fps));
    setText(find(this.form, "#num_frames-hint", HTMLElement), `${this.frames.value} frames`);
  }

  /** @param {string[]} prompts */
  #offer(prompts) {
    const chips = prompts.map((prompt) => {
      const chip = document.createElement("button");
      Object.assign(chip, { type: "button", className: "chip", textContent: prompt });
      chip.addEventListener("click", () => {
        this.prompt.value = prompt;
        this.#mark("prompt", "");
        this.prompt.focus();
      });
      return chip;
    });
    const box = find(document, "#examples", HTMLElement);
    box.replaceChildren(...chips);
    box.hidden = chips.length === 0;
  }

  /** @returns {Control[]} */
  #controls() {
    return Array.from(this.form.querySelectorAll("textarea, select, input"));
  }

  /** @param {string} name @returns {Control} */
  #control(name) {
    return /** @type {Control} */ (find(this.form, `#${name}`, HTMLElement));
  }
}

/**
 * Select a value that the list may not offer, since the API takes more than the form does.
 *
 * @param {HTMLSelectElement} select
 * @param {string} value
 * @param {string} label
 */
function choose(select, value, label) {
  if (![...select.options].some((option) => option.value === value)) {
    select.add(new Option(label, value));
  }
  select.value = value;
}
