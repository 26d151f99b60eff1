// @ts-check
/** What views have in common: headings with the way there, sections, lists of facts, buttons. */

import { h } from "./dom.js";

/**
 * The top of a view.
 * @param {any} title
 * @param {{crumbs?: [string, string][], actions?: any[], below?: any}} [options] crumbs: text and address
 */
export function heading(title, { crumbs = [], actions = [], below } = {}) {
  const trail = crumbs.length
    ? h(
        "nav",
        { class: "crumbs", "aria-label": "Where you are" },
        crumbs.map(([text, address]) => [
          h("a", { href: address }, text),
          h("span", { "aria-hidden": "true" }, "›"),
        ]),
      )
    : null;
  return h(
    "div",
    { class: "heading" },
    trail,
    h("div", { class: "line" }, h("h1", { tabindex: -1 }, title), buttons(actions)),
    below,
  );
}

/**
 * A titled part of a view.
 * @param {string} title
 * @param {any} content
 * @param {any[]} [actions]
 */
export function section(title, content, actions = []) {
  return h(
    "section",
    { key: `section-${title}`, "aria-label": title },
    h("div", { class: "line" }, h("h2", null, title), buttons(actions)),
    content,
  );
}

/**
 * Names and values.
 * @param {[string, any][]} pairs those whose value is null are left out
 */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );
}

/**
 * A button that does something.
 * @param {string} label
 * @param {() => void} act
 * @param {{kind?: "primary" | "danger" | "small" | "", title?: string}} [options] title: what it is for, when its
 *   label alone does not tell
 */
export function button(label, act, { kind = "", title } = {}) {
  return h(
    "button",
    { type: "button", class: kind, "aria-label": title, title, on: { click: act } },
    label,
  );
}

/**
 * A message that stands out.
 * @param {"good" | "bad" | "wait" | "busy1" | "idle"} tone
 * @param {...any} content
 */
export function notice(tone, ...content) {
  return h("p", { class: `notice ${tone}` }, content);
}

/** @param {any[]} actions */
function buttons(actions) {
  const shown = actions.filter(Boolean);
  return shown.length ? h("div", { class: "buttons" }, shown) : null;
}
