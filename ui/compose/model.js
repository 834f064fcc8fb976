import { find, setText, showText } from "../browser/dom.js";

/** @typedef {import("../server/types.js").Model} Model */

/** Show the model's name, or that it is the demo model. @param {Model} model */
export function showModel(model) {
  const badge = find(document, "#model", HTMLElement);
  showText(badge, model.demo ? "Demo model" : model.title);
  badge.classList.toggle("demo", model.demo);
  showText(find(document, "#demo-notice", HTMLElement), model.demo ? `This is a demo: ${model.title}.` : "");
}

/** @param {string[]} prompts @param {(prompt: string) => void} write */
export function offerExamples(prompts, write) {
  const box = find(document, "#examples", HTMLElement);
  box.replaceChildren(...prompts.map((prompt) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "chip" });
    setText(button, prompt);
    button.addEventListener("click", () => write(prompt));
    return button;
  }));
  box.hidden = prompts.length === 0;
}
