const FIRST_MS = 1_000;
const MAX_MS = 8_000;

/**
 * How long to wait before the next try: doubles with each failure.
 *
 * @param {number} [failures] in a row, not counting the latest
 * @param {number} [retryAfterMs] the least that the server asked for
 */
export function backoffMs(failures = 0, retryAfterMs = 0) {
  return Math.max(retryAfterMs, Math.min(MAX_MS, FIRST_MS * 2 ** failures));
}
