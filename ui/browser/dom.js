/**
 * The one element that `selector` finds, which must be of the given kind.
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
 * A copy of a template's one element.
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
 * Set the text only when it differs: screen readers and selections notice every write.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show the text, or hide the element when there is none.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showText(element, text) {
  setText(element, text);
  element.hidden = text === "";
}

/**
 * Tell people who use a screen reader, after what is being read now.
 *
 * @param {string} text
 */
export function announce(text) {
  // A dialog makes everything outside of it inert, the announcer too, so it has one of its own.
  const root = document.querySelector("dialog[open]") ?? document;
  // A new node, so that the same sentence twice is read twice.
  find(root, ".announcer", HTMLElement).replaceChildren(document.createTextNode(text));
}
