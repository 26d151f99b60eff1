// @ts-check
/** Anything by name, id, address or version: applications, groups, channels, packages, instances. */

import { find, list, path, query } from "../api.js";
import { statusBadge } from "../badge.js";
import { h } from "../dom.js";
import { count, plural, since } from "../format.js";
import { heading, section } from "../parts.js";
import { href } from "../router.js";
import { table } from "../table.js";

const INSTANCES_PER_APP = 25;
const OTHERS_MAX = 25;

/** @type {import("../page.js").View} */
export const search = {
  title: (_, context) => (context.query.q ? `Search: ${context.query.q}` : "Search"),
  twin: () => "apps",
  load: async ({ query: asked, config }, signal) => {
    const words = (asked.q ?? "").trim();
    if (!words) return { words, objects: [], instances: [], holders: [] };
    const { rows: apps } = await list("apps", signal);
    const [pages, locks] = await Promise.all([
      Promise.all(apps.map((app) => instancesOf(app, words, signal))),
      config.locks ? find("locks", signal).catch(() => null) : null,
    ]);
    return {
      words,
      objects: objects(apps, words),
      instances: pages,
      holders: holdersOf(locks, words),
    };
  },
  draw: (data, context) => {
    const found = data.instances.filter((/** @type {any} */ page) => page.total);
    const total = found.reduce(
      (/** @type {number} */ sum, /** @type {any} */ page) => sum + page.total,
      data.objects.length + data.holders.length,
    );
    return [
      heading("Search", {
        below: h(
          "p",
          { class: "quiet", role: "status" },
          data.words
            ? `${plural(total, "result")} for “${data.words}”.`
            : "Any ID, name, address or version.",
        ),
      }),
      searchForm(data.words, context),
      data.objects.length
        ? section("Applications, groups, channels, packages", objectList(data.objects))
        : null,
      found.map((/** @type {any} */ page) =>
        section(`Instances of ${page.app.name}`, instanceTable(page)),
      ),
      data.holders.length
        ? section("Reboot locks", h("ul", null, data.holders.map(holderLine)))
        : null,
    ];
  },
};

/**
 * @param {string} words
 * @param {import("../page.js").Context} context
 */
function searchForm(words, context) {
  /** @param {any} event */
  const submit = (event) => {
    event.preventDefault();
    context.set({ q: event.currentTarget.elements.namedItem("words").value.trim() });
  };
  return h(
    "form",
    { class: "filters", role: "search", on: { submit } },
    h(
      "div",
      null,
      h("label", { for: "words" }, "Search for"),
      h("input", { id: "words", type: "search", name: "words", value: words, "data-focus": true }),
    ),
    h("button", { type: "submit", class: "primary" }, "Search"),
  );
}

/**
 * @param {any} app
 * @param {string} words
 * @param {AbortSignal} signal
 */
async function instancesOf(app, words, signal) {
  const found = await list(
    path`apps/${app.id}/instances` + query({ search: words, perpage: INSTANCES_PER_APP }),
    signal,
  );
  return { app, ...found };
}

/**
 * @param {any[]} apps
 * @param {string} words
 */
function objects(apps, words) {
  const wanted = words.toLowerCase();
  /** @param {...any} texts */
  const hit = (...texts) =>
    texts.some((text) =>
      String(text ?? "")
        .toLowerCase()
        .includes(wanted),
    );
  return apps.flatMap((app) => [
    ...(hit(app.name, app.description, app.id)
      ? [{ kind: "Application", text: app.name, place: href("app", { app: app.id }) }]
      : []),
    ...(app.groups ?? [])
      .filter((/** @type {any} */ one) => hit(one.name, one.description, one.id, one.track))
      .map((/** @type {any} */ one) => ({
        kind: "Group",
        text: `${app.name} / ${one.name}`,
        place: href("group", { app: app.id, group: one.id }),
      })),
    ...(app.channels ?? [])
      .filter((/** @type {any} */ one) => hit(one.name, one.id))
      .map((/** @type {any} */ one) => ({
        kind: "Channel",
        text: `${app.name} / ${one.name}`,
        place: href("app", { app: app.id }),
      })),
    ...(app.packages ?? [])
      .filter((/** @type {any} */ one) => hit(one.version, one.filename, one.description, one.id))
      .map((/** @type {any} */ one) => ({
        kind: "Package",
        text: `${app.name} ${one.version}`,
        place: href("app", { app: app.id }),
      })),
  ]);
}

/** @param {any[]} all */
function objectList(all) {
  const lines = all
    .slice(0, OTHERS_MAX)
    .map((one) =>
      h(
        "li",
        null,
        h("span", { class: "quiet" }, one.kind, " "),
        h("a", { href: one.place }, one.text),
      ),
    );
  const rest = all.length - lines.length;
  return h(
    "ul",
    { class: "results" },
    lines,
    rest > 0 && h("li", { class: "quiet" }, `and ${count(rest)} more`),
  );
}

/** @param {{app: any, rows: any[], total: number}} page */
function instanceTable({ app, rows, total }) {
  const groups = new Map(
    (app.groups ?? []).map((/** @type {any} */ group) => [group.id, group.name]),
  );
  /** @param {any} one */
  const address = (one) =>
    href("instance", { app: app.id, group: one.application.group_id, instance: one.id });
  /** @type {import("../table.js").Column[]} */
  const columns = [
    {
      key: "id",
      label: "Instance ID",
      cell: (one) => [
        h("a", { href: address(one), class: "wrap" }, one.id),
        one.alias && h("small", null, one.alias),
      ],
    },
    { key: "group", label: "Group", cell: (one) => groups.get(one.application.group_id) ?? "–" },
    { key: "ip", label: "IP", cell: (one) => one.ip },
    { key: "state", label: "State", cell: (one) => statusBadge(one.application.status) },
    { key: "version", label: "Version", cell: (one) => one.application.version },
    {
      key: "check",
      label: "Last check",
      cell: (one) => since(one.application.last_check_for_updates),
    },
  ];
  const rest = total - rows.length;
  return [
    table(columns, rows, { caption: `Instances of ${app.name}`, rowKey: (one) => one.id }),
    rest > 0 && h("p", { class: "quiet" }, `and ${count(rest)} more; search for something longer`),
  ];
}

/**
 * @param {any} locks
 * @param {string} words
 */
function holdersOf(locks, words) {
  const wanted = words.toLowerCase();
  return (locks?.groups ?? []).flatMap((/** @type {any} */ lock) =>
    (lock.holders ?? [])
      .filter((/** @type {any} */ one) =>
        `${one.id} ${one.alias ?? ""}`.toLowerCase().includes(wanted),
      )
      .map((/** @type {any} */ one) => ({ ...one, group: lock.group })),
  );
}

/** @param {any} holder */
function holderLine(holder) {
  return h(
    "li",
    null,
    h("a", { href: href("locks") }, holder.id),
    ` holds the reboot lock of ${holder.group ? `group ${holder.group}` : "the default group"}`,
  );
}
