// The browser's local storage. Where it is not available (private windows, policies), values are kept
// until the page is closed.

/** @type {Map<string, string>} */
const fallback = new Map();

/** @param {string} name @returns {string | null} */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return fallback.get(name) ?? null;
  }
}

/** @param {string} name @param {string | null} value null deletes it */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    if (value === null) fallback.delete(name);
    else fallback.set(name, value);
  }
}

/**
 * The object stored by `keepObject`; empty if there is none, or it can't be read.
 *
 * @param {string} name
 * @returns {Record<string, unknown>}
 */
export function recallObject(name) {
  try {
    const value = JSON.parse(recall(name) ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** @param {string} name @param {object} value */
export function keepObject(name, value) {
  keep(name, JSON.stringify(value));
}
