// @ts-check
/**
 * Elements from data, and a drawn page changed into a newly drawn one.
 *
 * Text only ever becomes text nodes and attributes. A page is drawn anew from its data each time
 * they change; `morph` keeps the elements that stay, and with them focus, scrolling and open
 * details.
 */

const SVG = "http://www.w3.org/2000/svg";
/** @type {WeakMap<EventTarget, Record<string, (event: any) => void>>} */
const handlers = new WeakMap();

/**
 * An HTML element. `on` holds its event handlers, `key` tells it from its brothers.
 * @param {string} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {...any} children nodes, text, numbers, lists of them; null and false are left out
 * @returns {HTMLElement}
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * An SVG element.
 * @param {string} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {...any} children
 * @returns {SVGElement}
 */
export function s(tag, attributes, ...children) {
  return fill(/** @type {SVGElement} */ (document.createElementNS(SVG, tag)), attributes, children);
}

/**
 * Change the children of `parent` into `wanted`, keeping what is alike.
 * @param {Element} parent
 * @param {Node[]} wanted
 */
export function morphChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let at = parent.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    const match = key ? keyed.get(key) : at;
    keyed.delete(key);
    if (!match || !alike(match, next)) {
      parent.insertBefore(next, at);
      continue;
    }
    if (match === at) at = match.nextSibling;
    else parent.insertBefore(match, at);
    morph(match, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Record<string, any> | null | undefined} attributes
 * @param {any[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") listen(element, value);
    else if (name === "key") element.setAttribute("data-key", String(value));
    else if (name === "value") /** @type {any} */ (element).value = String(value);
    else if (name === "checked") /** @type {any} */ (element).checked = true;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(present).map(node));
  return element;
}

/** @param {any} child */
function present(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/** @param {any} child */
function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/**
 * @param {Element} element
 * @param {Record<string, (event: any) => void>} wanted
 */
function listen(element, wanted) {
  const had = handlers.get(element) ?? {};
  for (const type of Object.keys(wanted)) {
    if (!(type in had)) element.addEventListener(type, dispatch);
  }
  handlers.set(element, { ...wanted });
}

/** @param {Event} event */
function dispatch(event) {
  const found = event.currentTarget && handlers.get(event.currentTarget);
  if (found) found[event.type]?.(event);
}

/** @param {Node} one */
function keyOf(one) {
  return one instanceof Element ? one.getAttribute("data-key") : null;
}

/**
 * @param {Node} one
 * @param {Node} other
 */
function alike(one, other) {
  return (
    one.nodeType === other.nodeType &&
    one.nodeName === other.nodeName &&
    keyOf(one) === keyOf(other)
  );
}

/**
 * @param {Node} old
 * @param {Node} next
 */
function morph(old, next) {
  if (!(old instanceof Element) || !(next instanceof Element)) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !isOwn(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !isOwn(old, name)) old.setAttribute(name, value);
  }
  if (handlers.has(old) || handlers.has(next)) listen(old, handlers.get(next) ?? {});
  morphChildren(old, [...next.childNodes]);
  if (old !== document.activeElement) carryValue(old, next);
}

/**
 * Whether an attribute belongs to the user: what is unfolded stays so.
 * @param {Element} element
 * @param {string} name
 */
function isOwn(element, name) {
  return element instanceof HTMLDetailsElement && name === "open";
}

/**
 * @param {any} old
 * @param {any} next
 */
function carryValue(old, next) {
  if (old instanceof HTMLInputElement || old instanceof HTMLSelectElement) {
    if (old.value !== next.value) old.value = next.value;
    if (old instanceof HTMLInputElement) old.checked = next.checked;
  }
}
