// What the browser keeps for this page. It may refuse (private windows, policies): then what is
// kept lasts as long as the page.

/** @type {Map<string, string>} */
const meanwhile = new Map();

/** @param {string} name @returns {string | null} */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return meanwhile.get(name) ?? null;
  }
}

/** @param {string} name @param {string | null} value null forgets it */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    if (value === null) meanwhile.delete(name);
    else meanwhile.set(name, value);
  }
}

/**
 * What `keepObject` kept; an empty object if it is something else by now.
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
