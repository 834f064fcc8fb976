/**
 * Copy text to the clipboard. The Clipboard API needs TLS or localhost; without it, a selection is copied.
 *
 * @param {string} text
 * @param {HTMLElement} near where to put that selection: inside an open dialog, if there is one
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
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
