// @ts-check
/** What surrounds every view: the bar on top with its links and search, the line at the bottom. */

import { address } from "./api.js";
import { h, morphChildren } from "./dom.js";
import { href } from "./router.js";

/** Which link is lit for which views. */
const SECTIONS = [
  { label: "Overview", name: "overview", views: ["overview"] },
  { label: "Applications", name: "apps", views: ["apps", "app", "group", "instances", "instance"] },
  { label: "Activity", name: "activity", views: ["activity"] },
  { label: "Reboot locks", name: "locks", views: ["locks"] },
  { label: "Users", name: "users", views: ["users"] },
];

/**
 * Draw the bar on top.
 * @param {HTMLElement} place
 * @param {any} config
 * @param {string} view
 */
export function drawTop(place, config, view) {
  const sections = SECTIONS.filter(
    (one) =>
      (one.name !== "locks" || config.locks) && (one.name !== "users" || config.role === "admin"),
  );
  const links = sections.map((one) =>
    h(
      "a",
      { href: href(one.name), "aria-current": one.views.includes(view) ? "page" : null },
      one.label,
    ),
  );
  morphChildren(place, [
    h(
      "a",
      { class: "brand", href: href("overview") },
      h("img", { src: "icon.svg", alt: "", width: 22, height: 22 }),
      h("span", null, config.title),
    ),
    ...(isIn(config)
      ? [h("nav", { "aria-label": "Main" }, links), searchBox(), ...who(config, view)]
      : []),
  ]);
}

/**
 * Draw the line at the bottom.
 * @param {HTMLElement} place
 * @param {any} config
 * @param {string | null} twin path of the view's content as JSON
 */
export function drawFoot(place, config, twin) {
  const json = twin ? h("a", { href: address(twin), class: "twin" }, `JSON: /api/${twin}`) : null;
  const server = h("span", null, `${config.title} ${config.version ?? ""}`);
  const hint = isIn(config) ? h("span", { class: "hint" }, "Press / to search") : null;
  morphChildren(
    place,
    [server, json, hint].filter((one) => one !== null),
  );
}

/** Let the key / lead to the search box. */
export function listenForSearchKey() {
  document.addEventListener("keydown", (event) => {
    const typing =
      event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    if (
      event.key !== "/" ||
      typing ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      document.querySelector("dialog[open]")
    )
      return;
    const box = document.querySelector("#search");
    if (!(box instanceof HTMLElement)) return;
    event.preventDefault();
    box.focus();
  });
}

/** @param {any} config */
function isIn(config) {
  return Boolean(config.user || config.anonymous_read);
}

function searchBox() {
  /** @param {any} event */
  const submit = (event) => {
    event.preventDefault();
    location.hash = href(
      "search",
      {},
      { q: event.currentTarget.elements.namedItem("q").value.trim() },
    );
  };
  return h(
    "form",
    { role: "search", class: "search", on: { submit } },
    h("input", {
      id: "search",
      name: "q",
      type: "search",
      placeholder: "Search",
      "aria-label": "Search everything",
      autocomplete: "off",
    }),
  );
}

/**
 * @param {any} config
 * @param {string} view
 */
function who(config, view) {
  if (!config.user)
    return view === "signin" ? [] : [h("a", { href: href("signin"), class: "who" }, "Sign in")];
  const note = config.role === "admin" ? null : h("small", null, "read only");
  const isHere = view === "account" ? "page" : null;
  return [
    h(
      "a",
      { href: href("account"), class: "who", "aria-current": isHere, title: "Account" },
      h("span", null, config.user),
      note,
    ),
  ];
}
