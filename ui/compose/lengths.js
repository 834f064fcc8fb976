/** @typedef {import("../server/types.js").Span} Span */

const MOST = 6;
// Mochi's VAE packs six frames into one latent frame, after a first frame of its own.
const FRAMES_PER_LATENT = 6;

/**
 * Frame counts to offer: whole seconds where the frame rate has them, and the default and the
 * longest in any case; at most `MOST` of them, evenly spread.
 *
 * @param {Span} span
 * @param {number} fps
 * @returns {number[]}
 */
export function lengthChoices(span, fps) {
  const step = span.multiple ?? FRAMES_PER_LATENT;
  const legal = [];
  for (let count = 1; count <= span.max; count += step) if (count >= span.min) legal.push(count);
  const whole = legal.filter((count) => count > 1 && (count - 1) % fps === 0);
  const fixed = new Set([span.default, legal.at(-1) ?? span.max]);
  const others = (whole.length >= 2 ? whole : legal).filter((count) => !fixed.has(count));
  for (const count of spread(others, MOST - fixed.size)) fixed.add(count);
  return [...fixed].sort((a, b) => a - b);
}

/** @param {number[]} values @param {number} most */
function spread(values, most) {
  if (values.length <= most) return values;
  const last = values.length - 1;
  return Array.from({ length: most }, (_, place) => values[Math.round((place * last) / (most - 1))] ?? 0);
}
