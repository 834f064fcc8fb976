import { find, showText } from "../browser/dom.js";

// Of English text. The page has no tokenizer, so this is an estimate, and says so.
const CHARACTERS_PER_TOKEN = 4;

/**
 * What to tell about a prompt that the model may not use to its end.
 *
 * @param {string} prompt
 * @param {number} maxTokens what the model uses
 * @returns {string} "" if it probably fits
 */
export function lengthHint(prompt, maxTokens) {
  const tokens = Math.round([...prompt.trim()].length / CHARACTERS_PER_TOKEN);
  if (tokens <= maxTokens) return "";
  return `An estimated ${tokens} tokens; the model uses only the first ${maxTokens}.`;
}

/** Show it beside both prompts. @param {HTMLFormElement} form @param {number} maxTokens */
export function showLengthHints(form, maxTokens) {
  for (const name of ["prompt", "negative_prompt"]) {
    const { value } = find(form, `#${name}`, HTMLTextAreaElement);
    showText(find(form, `#${name}-hint`, HTMLElement), lengthHint(value, maxTokens));
  }
}
