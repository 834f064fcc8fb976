import { announce, find, setText, showText } from "../browser/dom.js";
import { sizeLabel } from "../videos/labels.js";
import { Choices } from "./choices.js";
import { Costs } from "./costs.js";
import { Fields } from "./fields.js";
import { Fold } from "./fold.js";
import { Frames } from "./frames.js";
import { showLengthHints } from "./prompt_length.js";
import { NUMBERS, saveForm, savedSettings, savedText } from "./saved_form.js";
import { Seed } from "./seed.js";

/** @typedef {import("../server/types.js").Model} Model */
/** @typedef {import("../server/types.js").Video} Video */
/** @typedef {import("../server/types.js").VideoRequest} VideoRequest */
/** @typedef {import("../server/api.js").ApiError} ApiError */
/** @typedef {import("../videos/estimate.js").Estimate} Estimate */
/** @typedef {{accepted: number, error: ApiError | null}} Outcome */

const INPUTS = ["prompt", "negative_prompt", ...NUMBERS, "quality", "seed"];

/** The form that creates videos. Its fields have the names of the API's. */
export class VideoForm {
  /** @type {Model | null} */
  #model = null;

  /** @param {(requests: VideoRequest[]) => Promise<Outcome>} send @param {Estimate} estimate */
  constructor(send, estimate) {
    this.send = send;
    this.form = find(document, "#video-form", HTMLFormElement);
    this.button = find(this.form, "#submit", HTMLButtonElement);
    this.error = find(this.form, "#form-error", HTMLElement);
    this.fields = new Fields(this.form);
    this.size = new Choices("size");
    this.frames = new Frames();
    this.seed = new Seed(this.form);
    this.fold = new Fold(() => this.focus());
    // On a phone, the prompt and what it costs come first.
    find(this.form, "#settings", HTMLDetailsElement).open = matchMedia("(min-width: 54rem)").matches;
    this.costs = new Costs(this.fields, this.size, this.frames.choices, estimate);
    this.#restoreText();
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    for (const type of ["input", "change"]) this.form.addEventListener(type, () => this.#changed());
    find(this.form, "#reset", HTMLButtonElement).addEventListener("click", () => this.#reset());
  }

  /** @param {Model} model */
  setModel(model) {
    this.#model = model;
    for (const name of NUMBERS) {
      const { min, max } = model[name];
      Object.assign(this.fields.get(name), { min, max });
      setText(find(this.form, `#${name}-hint`, HTMLElement), `${min} to ${max}`);
    }
    find(this.form, "#quality-field", HTMLElement).hidden = model.qualities.length < 2;
    const sizes = [...new Set([model.default_size, ...model.sizes])];
    this.size.offer(sizes.map((size) => ({ value: size, label: sizeLabel(size) })));
    this.#restoreSettings(model);
    this.#changed();
  }

  /** Copy the prompt, the settings and the seed of a video. @param {Video} video */
  fill(video) {
    for (const name of INPUTS) {
      const value = video[/** @type {keyof Video} */ (name)];
      if (value !== null || name === "negative_prompt") this.fields.get(name).value = String(value ?? "");
    }
    if (video.size !== null) this.size.choose({ value: video.size, label: sizeLabel(video.size) });
    if (video.num_frames !== null && this.#model) this.frames.choose(this.#model.num_frames, video.num_frames, this.#fps);
    if (video.seed !== null) this.seed.lockTo(video.seed);
    this.fields.clear();
    this.#changed();
    this.focus();
    announce("Prompt and settings copied to the form.");
  }

  /** @param {string} prompt */
  setPrompt(prompt) {
    this.fields.get("prompt").value = prompt;
    this.fields.mark("prompt", "");
    this.#changed();
    this.focus();
  }

  focus() {
    this.fold.open();
    const prompt = this.fields.get("prompt");
    prompt.focus();
    prompt.scrollIntoView({ block: "nearest" });
  }

  /** Show the render times again, as the estimate may have changed. */
  showCosts() {
    if (this.#model) this.costs.show(this.#model, this.#count);
  }

  get #count() {
    return Number(new FormData(this.form).get("variations") ?? 1);
  }

  get #fps() {
    return Number(this.fields.get("fps").value) || this.#model?.fps.default || 1;
  }

  async #submit() {
    if (this.button.ariaDisabled === "true") return;
    showText(this.error, "");
    if (!this.fields.validate()) return;
    this.button.ariaDisabled = "true";
    setText(this.button, "Sending…");
    try {
      this.#showOutcome(await this.send(this.#requests()));
    } finally {
      this.button.ariaDisabled = null;
      setText(this.button, "Create video");
    }
  }

  /** @param {Outcome} outcome */
  #showOutcome({ accepted, error }) {
    if (!error) return this.fold.close();
    const done = accepted ? `${accepted} of ${this.#count} videos created. ` : "";
    if (this.fields.mark(error.param, error.message)) {
      this.fields.focusFirstError();
    } else {
      showText(this.error, done + error.message);
      this.error.scrollIntoView({ block: "nearest" });
    }
  }

  /** @returns {VideoRequest[]} without empty fields, for which the server has defaults */
  #requests() {
    const seeds = this.seed.next(this.#count);
    this.#save();
    const size = this.size.value && { size: this.size.value };
    const frames = this.frames.count && { num_frames: this.frames.count };
    const model = this.#model && { model: this.#model.id };
    return seeds.map((seed) =>
      ({ ...model, prompt: "", ...this.fields.read(), ...size, ...frames, seed }));
  }

  #changed() {
    if (this.#model) this.frames.offer(this.#model.num_frames, this.#fps);
    if (this.#model) showLengthHints(this.form, this.#model.max_text_tokens);
    this.showCosts();
    this.#save();
  }

  #save() {
    if (!this.#model) return;
    const text = Object.fromEntries(INPUTS.map((name) => [name, this.fields.get(name).value]));
    const chosen = { size: this.size.value, num_frames: String(this.frames.count) };
    saveForm({ ...text, ...chosen, variations: this.#count, locked: this.seed.locked });
  }

  #reset() {
    const model = this.#model;
    if (!model) return;
    saveForm({ prompt: this.fields.get("prompt").value });
    this.fields.clear();
    this.#restoreText();
    this.setModel(model);
    announce("Settings reset to the model's defaults.");
  }

  #restoreText() {
    const { prompt, negative_prompt, seed, locked } = savedText();
    this.fields.get("prompt").value = prompt;
    this.fields.get("negative_prompt").value = negative_prompt;
    this.fields.get("seed").value = seed;
    this.seed.locked = locked && seed !== "";
  }

  /** @param {Model} model */
  #restoreSettings(model) {
    const settings = savedSettings(model);
    for (const name of NUMBERS) this.fields.get(name).value = String(settings[name]);
    this.fields.get("quality").value = settings.quality;
    // What was urgent last time need not be so now.
    this.fields.get("priority").value = "normal";
    this.size.choose({ value: settings.size, label: sizeLabel(settings.size) });
    this.frames.choose(model.num_frames, settings.num_frames, this.#fps);
    const variations = `[name=variations][value="${settings.variations}"]`;
    find(this.form, variations, HTMLInputElement).checked = true;
  }
}
