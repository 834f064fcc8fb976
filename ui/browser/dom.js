/**
 * The first element that matches `selector`; throws a TypeError if it is not of the given class.
 *
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T}
 */
export function find(root, selector, kind) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new TypeError(`${selector} is not a ${kind.name}`);
  return found;
}

/**
 * A copy of the only element of a template.
 *
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T}
 */
export function copyOf(selector, kind) {
  const template = find(document, selector, HTMLTemplateElement);
  const copy = document.importNode(template.content, true).firstElementChild;
  if (!(copy instanceof kind)) throw new TypeError(`${selector} holds no ${kind.name}`);
  return copy;
}

/**
 * Set the text only if it differs: every write is read out, and loses a selection.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show the text, or hide the element if it is empty.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showText(element, text) {
  setText(element, text);
  element.hidden = text === "";
}

/**
 * Let screen readers read the text, after what they are reading now.
 *
 * @param {string} text
 */
export function announce(text) {
  // An open dialog makes everything outside it inert, so each dialog has an announcer of its own.
  const root = document.querySelector("dialog[open]") ?? document;
  // A new node, so that a repeated text is read again.
  find(root, ".announcer", HTMLElement).replaceChildren(document.createTextNode(text));
}
