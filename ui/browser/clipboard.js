/**
 * Put text on the clipboard. The modern way needs TLS or localhost; else a selection is copied.
 *
 * @param {string} text
 * @param {HTMLElement} near where to put the text meanwhile: inside an open dialog, if there is one
 * @returns {Promise<boolean>} whether it worked
 */
export async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text, near);
  }
}

/** @param {string} text @param {HTMLElement} near */
function copySelection(text, near) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "visually-hidden";
  area.value = text;
  near.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
