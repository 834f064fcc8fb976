import { deepEqual, equal } from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { saveForm, savedSettings, savedText } from "../../ui/compose/saved_form.js";

const MODEL = {
  id: "m", title: "M", demo: true, sizes: ["64x64", "96x64"], default_size: "96x64", example_prompts: [], max_text_tokens: 256,
  num_frames: { min: 7, max: 61, default: 25, multiple: 6 }, fps: { min: 1, max: 60, default: 12 },
  num_inference_steps: { min: 2, max: 200, default: 16 }, guidance_scale: { min: 0, max: 20, default: 9 },
  qualities: /** @type {("exact" | "fast")[]} */ (["exact", "fast"]),
};
const DEFAULTS = { num_inference_steps: 16, guidance_scale: 9, fps: 12, quality: "exact", size: "96x64", num_frames: 25, variations: 1 };
const SAVED = {
  prompt: "a whale", negative_prompt: "blue", seed: "7", locked: true, size: "64x64", num_frames: "61",
  num_inference_steps: "60", guidance_scale: "0", fps: "24", quality: "fast", variations: 3,
};

/** @type {Map<string, string>} */
let stored = new Map();
beforeEach(() => {
  stored = new Map();
  Object.assign(globalThis, {
    localStorage: {
      getItem: (/** @type {string} */ name) => stored.get(name) ?? null,
      setItem: (/** @type {string} */ name, /** @type {string} */ value) => stored.set(name, value),
      removeItem: (/** @type {string} */ name) => stored.delete(name),
    },
  });
});

test("everything in the form comes back", () => {
  saveForm(SAVED);
  deepEqual(savedText(), { prompt: "a whale", negative_prompt: "blue", seed: "7", locked: true });
  deepEqual(savedSettings(MODEL), {
    num_inference_steps: 60, guidance_scale: 0, fps: 24, quality: "fast", size: "64x64", num_frames: 61, variations: 3,
  });
});

test("the first visit has the model's defaults", () => {
  deepEqual(savedText(), { prompt: "", negative_prompt: "", seed: "", locked: false });
  deepEqual(savedSettings(MODEL), DEFAULTS);
});

test("what this model does not allow is replaced by its defaults", () => {
  saveForm({ ...SAVED, size: "848x480", num_frames: "163", num_inference_steps: "500", fps: "", guidance_scale: "x", quality: "best", variations: 9 });
  deepEqual(savedSettings(MODEL), DEFAULTS);
});

test("a length between two that the model can render is replaced", () => {
  saveForm({ ...SAVED, num_frames: "30" });
  equal(savedSettings(MODEL).num_frames, 25);
});

test("a model without the quality gets its default", () => {
  saveForm(SAVED);
  equal(savedSettings({ ...MODEL, qualities: ["exact"] }).quality, "exact");
});

test("storage with something else in it is ignored", () => {
  for (const text of ["not JSON", "[1]", "null", '{"prompt": 5, "variations": "many", "seed": {}}']) {
    stored.set("kinora.form", text);
    deepEqual(savedText(), { prompt: "", negative_prompt: "", seed: "", locked: false });
    deepEqual(savedSettings(MODEL), DEFAULTS);
  }
});

test("where the browser refuses storage, the form lasts as long as the page", () => {
  const refuse = () => {
    throw new DOMException("denied", "SecurityError");
  };
  Object.assign(globalThis, { localStorage: { getItem: refuse, setItem: refuse, removeItem: refuse } });
  saveForm(SAVED);
  equal(savedText().prompt, "a whale");
});
