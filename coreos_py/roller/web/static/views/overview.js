// @ts-check
/** The first page: one sentence about everything, what is behind it, groups, locks, last events. */

import { get, list, path, query } from "../api.js";
import { channelLabel } from "../badge.js";
import { bar } from "../chart.js";
import { h } from "../dom.js";
import { count, since } from "../format.js";
import { facts, heading, section } from "../parts.js";
import { href } from "../router.js";
import { verdict } from "../verdict.js";
import { localTable } from "../table.js";
import { activityList } from "./activity.js";
import { statusParts, updatesState } from "./group-parts.js";

const LAST_EVENTS = 10;
const FINDINGS_MAX = 8;

/** @type {import("../page.js").View} */
export const overview = {
  title: () => "Overview",
  twin: () => "apps",
  load: async ({ config }, signal) => {
    const [apps, locks, activity] = await Promise.all([
      list("apps", signal),
      config.locks ? get("locks", signal).catch(() => ({ groups: [], failed: true })) : null,
      list(path`activity` + query({ perpage: LAST_EVENTS }), signal),
    ]);
    return { apps: apps.rows, locks, activity: activity.rows, verdict: verdict(apps.rows, locks) };
  },
  news: (data, before) => (data.verdict.text === before.verdict.text ? "" : data.verdict.text),
  draw: (data, context) => [
    heading("Overview"),
    h("p", { class: `verdict tone-${data.verdict.tone}` }, data.verdict.text),
    findings(data.verdict.findings),
    section("Groups", groupTable(data.apps, context)),
    data.locks && section("Reboot locks", lockSummary(data.locks)),
    section("Last events", activityList(data.activity, "Nothing has happened in the last days."), [
      h("a", { href: href("activity") }, "All activity"),
    ]),
  ],
};

/** @param {import("../verdict.js").Finding[]} all */
function findings(all) {
  if (!all.length) return null;
  const lines = all
    .slice(0, FINDINGS_MAX)
    .map((one) => h("li", { class: `tone-${one.tone}` }, h("a", { href: placeOf(one) }, one.text)));
  const rest = all.length - lines.length;
  return h(
    "ul",
    { class: "findings" },
    lines,
    rest > 0 && h("li", null, `and ${count(rest)} more, in the table below`),
  );
}

/** @param {import("../verdict.js").Finding} one */
function placeOf(one) {
  return one.app && one.group
    ? href("group", { app: one.app, group: one.group })
    : href(one.place ?? "overview");
}

/**
 * @param {any[]} apps
 * @param {import("../page.js").Context} context
 */
function groupTable(apps, context) {
  const rows = apps.flatMap((app) =>
    (app.groups ?? []).map((/** @type {any} */ group) => ({ app, group })),
  );
  /** @type {import("../table.js").Column[]} */
  const columns = [
    {
      key: "group",
      label: "Group",
      sort: ({ app, group }) => `${app.name} ${group.name}`,
      cell: ({ app, group }) => [
        h("a", { href: href("app", { app: app.id }), class: "quiet" }, app.name),
        " / ",
        h("a", { href: href("group", { app: app.id, group: group.id }) }, group.name),
      ],
    },
    {
      key: "channel",
      label: "Channel",
      sort: ({ group }) => group.channel?.name ?? "",
      cell: ({ group }) => channelLabel(group.channel),
    },
    {
      key: "version",
      label: "Offers",
      sort: ({ group }) => group.channel?.package?.version ?? "",
      cell: ({ group }) =>
        group.channel?.package?.version ?? h("span", { class: "quiet" }, "nothing"),
    },
    {
      key: "instances",
      label: "Instances",
      number: true,
      sort: ({ group }) => group.instances_stats?.total ?? 0,
      cell: ({ group }) => count(group.instances_stats?.total),
    },
    {
      key: "states",
      label: "States",
      cell: ({ group }) =>
        bar(`States of ${group.name}`, statusParts(group.instances_stats), { compact: true }),
    },
    {
      key: "updates",
      label: "Updates",
      sort: ({ group }) => (group.policy_updates_enabled ? 1 : 0),
      cell: ({ group }) => updatesState(group),
    },
  ];
  return localTable("overview", columns, rows, {
    caption: "groups",
    rowKey: ({ group }) => group.id,
    text: ({ app, group }) =>
      `${app.name} ${group.name} ${group.channel?.name} ${group.channel?.package?.version}`,
    empty: ["No groups yet. ", h("a", { href: href("apps") }, "Create an application"), " first."],
    redraw: context.redraw,
  });
}

/** @param {any} locks */
function lockSummary(locks) {
  const link = h("a", { href: href("locks") }, "Holders and limits");
  if (locks.failed)
    return h(
      "p",
      { class: "tone-wait" },
      "etcd, which has the locks, cannot be asked just now. ",
      link,
    );
  if (!locks.groups.length)
    return h("p", { class: "quiet" }, "No machine has ever taken a reboot lock.");
  const lines = locks.groups.map((/** @type {any} */ one) => [
    one.group || "Default group",
    lockLine(one),
  ]);
  return [
    h("div", { class: "wide" }, facts(/** @type {[string, any][]} */ (lines))),
    h("p", null, link),
  ];
}

/** @param {any} lock */
function lockLine(lock) {
  const holders = lock.holders ?? [];
  if (lock.semaphore === null) return h("span", { class: "tone-bad" }, "not readable");
  if (!holders.length) return `free, at most ${count(lock.max)} at a time`;
  const names = holders
    .slice(0, 3)
    .map((/** @type {any} */ one) => [
      one.alias || one.id,
      one.since_ts ? [" (", since(one.since_ts), ") "] : " ",
    ]);
  return [`${holders.length} of ${lock.max} taken: `, names, holders.length > 3 ? "…" : ""];
}
