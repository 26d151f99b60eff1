// @ts-check
/** What narrows a list down: labelled choices and texts that take effect as soon as they change. */

import { h } from "./dom.js";

/**
 * A row of them.
 * @param {string} label
 * @param {...HTMLElement} controls
 */
export function filterForm(label, ...controls) {
  /** @param {Event} event */
  const submit = (event) => event.preventDefault();
  const attributes = { class: "filters", role: "search", "aria-label": label, on: { submit } };
  return h("form", attributes, controls);
}

/**
 * A labelled choice of a filter.
 * @param {string} label
 * @param {string | undefined} value
 * @param {any[][]} options value and text
 * @param {(value: string) => void} onChange
 */
export function select(label, value, options, onChange) {
  const id = idOf(label);
  const entries = options.map(([key, text]) =>
    h("option", { value: key, selected: key === (value ?? "") }, text),
  );
  const on = { change: (/** @type {any} */ event) => onChange(event.currentTarget.value) };
  return h("div", null, h("label", { for: id }, label), h("select", { id, on }, entries));
}

/**
 * A labelled text of a filter; it counts once it is entered.
 * @param {string} label
 * @param {string | undefined} value
 * @param {(value: string) => void} onChange
 */
export function input(label, value, onChange) {
  const on = { change: (/** @type {any} */ event) => onChange(event.currentTarget.value.trim()) };
  const id = idOf(label);
  return h(
    "div",
    null,
    h("label", { for: id }, label),
    h("input", { id, type: "search", value: value ?? "", on }),
  );
}

/** @param {string} label */
function idOf(label) {
  return `filter-${label.toLowerCase().replace(/\W+/g, "-")}`;
}
