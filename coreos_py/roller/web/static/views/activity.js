// @ts-check
/** What has happened: a time line by day, with filters. */

import { list, query } from "../api.js";
import { severityBadge } from "../badge.js";
import { h } from "../dom.js";
import { filterForm, input, select } from "../filters.js";
import { clockOf, dayOf } from "../format.js";
import { allNames } from "../outline.js";
import { heading } from "../parts.js";
import { href } from "../router.js";
import { pager } from "../table.js";
import { SEVERITIES, activityText } from "../words.js";

const PER_PAGE = 100;
const RANGES = {
  "": "Last 3 days",
  1: "Last day",
  7: "Last 7 days",
  30: "Last 30 days",
  365: "Last year",
};
const DAY_MS = 86_400_000;

/** @type {import("../page.js").View} */
export const activity = {
  title: () => "Activity",
  twin: (context) => where(context.query),
  load: async ({ query: asked }, signal) => {
    const [entries, apps] = await Promise.all([list(where(asked), signal), allNames(signal)]);
    return { ...entries, apps };
  },
  news: (data, before) =>
    data.total > before.total && data.rows[0] ? activityText(data.rows[0]) : "",
  draw: (data, context) => [
    heading("Activity"),
    filters(data.apps, context),
    activityList(data.rows, "Nothing has happened that matches these filters."),
    pager({
      page: Number(context.query.page ?? 1),
      perPage: PER_PAGE,
      total: data.total,
      onPage: (page) => context.set({ page }),
    }),
  ],
};

/**
 * Entries under the days they belong to.
 * @param {any[]} entries
 * @param {string} empty
 */
export function activityList(entries, empty) {
  if (!entries.length) return h("p", { class: "quiet" }, empty);
  /** @type {Map<string, any[]>} */
  const days = new Map();
  for (const entry of entries) {
    const day = dayOf(entry.created_ts);
    days.set(day, [...(days.get(day) ?? []), entry]);
  }
  return h(
    "div",
    { class: "timeline" },
    [...days].map(([day, own]) =>
      h("div", { key: day }, h("h3", null, day), h("ol", null, own.map(line))),
    ),
  );
}

/** @param {any} entry */
function line(entry) {
  const time = h(
    "time",
    { datetime: entry.created_ts, title: entry.created_ts },
    clockOf(entry.created_ts),
  );
  const text = activityText(entry);
  const where = [entry.application_name, entry.group_name].filter(Boolean).join(" / ");
  const place = text.includes(where) ? "" : where;
  return h(
    "li",
    null,
    time,
    severityBadge(entry.severity),
    h(
      "span",
      { class: "what" },
      subject(entry, text),
      place && h("span", { class: "quiet" }, ` · ${place}`),
      entry.note && h("small", null, entry.note),
    ),
  );
}

/**
 * What an entry says, as a link to what it is about.
 * @param {any} entry
 * @param {string} text
 */
function subject({ application_id: app, group_id: group, instance_id: instance }, text) {
  if (!app) return text;
  const params = { app, group, instance };
  return h(
    "a",
    { class: "plainlink", href: href(group ? (instance ? "instance" : "group") : "app", params) },
    text,
  );
}

/**
 * The list's path for what the address asks for.
 * @param {Record<string, string>} asked
 */
function where(asked) {
  const days = Number(asked.days);
  // Whole hours, so that the path stays the same from one load to the next.
  const start = days
    ? new Date(Math.floor((Date.now() - days * DAY_MS) / 3_600_000) * 3_600_000).toISOString()
    : "";
  const { app, group, severity, instance, version, page } = asked;
  return `activity${query({ app, group, severity, instance, version, start, page, perpage: PER_PAGE })}`;
}

/**
 * @param {any[]} apps
 * @param {import("../page.js").Context} context
 */
function filters(apps, context) {
  const { query: asked, set } = context;
  const groups = apps
    .filter((app) => !asked.app || app.id === asked.app)
    .flatMap((app) =>
      app.groups.map((/** @type {any} */ group) => [
        group.id,
        asked.app ? group.name : `${app.name} / ${group.name}`,
      ]),
    );
  return filterForm(
    "Filter activity",
    select(
      "Application",
      asked.app,
      [["", "All"], ...apps.map((app) => [app.id, app.name])],
      (app) => set({ app, group: null, page: null }),
    ),
    select("Group", asked.group, [["", "All"], ...groups], (group) => set({ group, page: null })),
    select(
      "Severity",
      asked.severity,
      [["", "All"], ...Object.entries(SEVERITIES).map(([number, one]) => [number, one.name])],
      (severity) => set({ severity, page: null }),
    ),
    input("Instance", asked.instance, (instance) => set({ instance, page: null })),
    input("Version", asked.version, (version) => set({ version, page: null })),
    select(
      "Time",
      asked.days,
      Object.entries(RANGES).sort(([one], [other]) => Number(one) - Number(other)),
      (days) => set({ days, page: null }),
    ),
  );
}
