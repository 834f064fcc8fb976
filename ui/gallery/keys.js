/** @typedef {import("./layout.js").Layout} Layout */

/**
 * Where a key leads from a card: arrows to its neighbours, Home and End to the first and the last.
 *
 * @param {KeyboardEvent} event
 * @param {number} index of the card
 * @param {number} count of cards
 * @param {Layout} layout
 * @returns {number | null} another index, or null if it leads nowhere
 */
export function goalOf(event, index, count, { columns }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return null;
  /** @type {Record<string, number>} */
  const goals = {
    ArrowRight: index + 1,
    ArrowLeft: index - 1,
    ArrowDown: index + columns,
    ArrowUp: index - columns,
    Home: 0,
    End: count - 1,
  };
  const goal = goals[event.key];
  if (goal === undefined) return null;
  const reached = Math.max(0, Math.min(count - 1, goal));
  return reached === index ? null : reached;
}
