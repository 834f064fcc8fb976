/** @typedef {import("../server/types.js").LengthSpan} LengthSpan */

const MAX_CHOICES = 6;

/**
 * Frame counts to offer: the default, the longest, and whole seconds where the frame rate allows
 * them; at most `MAX_CHOICES` of them, evenly spread.
 *
 * @param {LengthSpan} span
 * @param {number} fps
 * @returns {number[]}
 */
export function lengthChoices(span, fps) {
  const valid = [];
  for (let count = 1; count <= span.max; count += span.multiple) if (count >= span.min) valid.push(count);
  const whole = valid.filter((count) => count > 1 && (count - 1) % fps === 0);
  const chosen = new Set([span.default, valid.at(-1) ?? span.max]);
  const others = (whole.length >= 2 ? whole : valid).filter((count) => !chosen.has(count));
  for (const count of spread(others, MAX_CHOICES - chosen.size)) chosen.add(count);
  return [...chosen].sort((a, b) => a - b);
}

/**
 * The frame count that the model can render whose distance from the first to the last frame is nearest.
 *
 * @param {LengthSpan} span
 * @param {number} distance in frames
 * @returns {number}
 */
export function nearestCount({ min, max, multiple }, distance) {
  const least = Math.ceil((min - 1) / multiple);
  const most = Math.floor((max - 1) / multiple);
  return Math.max(least, Math.min(most, Math.round(distance / multiple))) * multiple + 1;
}

/** @param {number[]} values @param {number} most */
function spread(values, most) {
  if (values.length <= most) return values;
  const last = values.length - 1;
  return Array.from({ length: most }, (_, place) => values[Math.round((place * last) / (most - 1))] ?? 0);
}
