/**
 * A grid of equal cards: positions follow from indexes alone, so only cards near the screen need to
 * exist.
 *
 * @typedef {object} Layout
 * @property {number} columns
 * @property {number} width of a card; all lengths in CSS pixels
 * @property {number} height of a card
 * @property {number} gap
 */

/**
 * @param {number} room the width of the list
 * @param {{least: number, gap: number, text: number}} sizes the minimum width of a card, the gap
 *   between cards, and the height of the text below a picture
 * @returns {Layout}
 */
export function layoutFor(room, { least, gap, text }) {
  const columns = Math.max(1, Math.floor((room + gap) / (least + gap)));
  const width = Math.floor((room - gap * (columns - 1)) / columns);
  return { columns, width, gap, height: Math.round((width * 9) / 16) + text };
}

/** @param {Layout} layout @param {number} index */
export function positionOf({ columns, width, height, gap }, index) {
  return {
    x: (index % columns) * (width + gap),
    y: Math.floor(index / columns) * (height + gap),
  };
}

/** The height of the whole grid. @param {Layout} layout @param {number} count */
export function heightOf({ columns, height, gap }, count) {
  const rows = Math.ceil(count / columns);
  return Math.max(0, rows * (height + gap) - gap);
}

/**
 * The cards between two heights of the grid, as indexes from `first` up to but excluding `last`.
 *
 * @param {Layout} layout
 * @param {number} top
 * @param {number} bottom
 * @param {number} count
 */
export function indexesBetween({ columns, height, gap }, top, bottom, count) {
  const row = height + gap;
  const first = Math.max(0, Math.floor(top / row)) * columns;
  const last = Math.max(0, Math.ceil(bottom / row)) * columns;
  return { first: Math.min(first, count), last: Math.min(last, count) };
}
