/** @typedef {import("./layout.js").Layout} Layout */

/**
 * The card that a key moves to: arrows to the neighbours, Home and End to the first and the last.
 *
 * @param {KeyboardEvent} event
 * @param {number} index of the card
 * @param {number} count of cards
 * @param {Layout} layout
 * @returns {number | null} another index, or null if the key does not move
 */
export function targetIndex(event, index, count, { columns }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return null;
  /** @type {Record<string, number>} */
  const targets = {
    ArrowRight: index + 1,
    ArrowLeft: index - 1,
    ArrowDown: index + columns,
    ArrowUp: index - columns,
    Home: 0,
    End: count - 1,
  };
  const target = targets[event.key];
  if (target === undefined) return null;
  const reached = Math.max(0, Math.min(count - 1, target));
  return reached === index ? null : reached;
}
