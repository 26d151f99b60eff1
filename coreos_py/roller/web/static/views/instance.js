// @ts-check
/** One instance: what it runs, what has happened to it, and its other name. */

import { get, list, path, send } from "../api.js";
import { badge, statusBadge, versionBadge } from "../badge.js";
import { formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { moment, since } from "../format.js";
import { outlineOf } from "../outline.js";
import { button, facts, heading, section } from "../parts.js";
import { href } from "../router.js";
import { table } from "../table.js";
import { eventText, statusOf } from "../words.js";

const HISTORY = 50;
const RESULTS = { 0: ["bad", "✕", "Error"], 9: ["wait", "‖", "Deferred"] };

/** @type {import("../page.js").View} */
export const instance = {
  title: (data) => data.instance.alias || data.instance.id,
  twin: ({ params }) =>
    path`apps/${params.app}/groups/${params.group}/instances/${params.instance}`,
  load: async ({ params }, signal) => {
    const at = path`apps/${params.app}/groups/${params.group}`;
    const own = at + path`/instances/${params.instance}`;
    const [outline, group, one, history, events] = await Promise.all([
      outlineOf(params.app, signal),
      get(at, signal),
      get(own, signal),
      list(`${own}/status_history?limit=${HISTORY}`, signal),
      list(`${own}/events`, signal),
    ]);
    return { outline, group, instance: one, history: history.rows, events: events.rows };
  },
  news: (data, before) => {
    const [now, then] = [data.instance.application?.status, before.instance.application?.status];
    return now === then ? "" : statusOf(now).label;
  },
  draw: (data, context) => [
    heading(data.instance.alias || data.instance.id, {
      crumbs: [
        ["Applications", href("apps")],
        [data.outline.name, href("app", context.params)],
        [data.group.name, href("group", context.params)],
        ["Instances", href("instances", context.params)],
      ],
      actions: [context.canWrite && button("Rename", () => rename(data.instance, context))],
    }),
    details(data),
    section("State history", history(data)),
    section("Events", events(data.events)),
  ],
};

/** @param {any} data */
function details({ outline, group, instance: one }) {
  const own = one.application ?? {};
  return facts([
    ["ID", h("code", { class: "wrap" }, one.id)],
    ["Name", one.alias || "–"],
    ["IP", one.ip],
    ["State", statusBadge(own.status)],
    ["Version", versionBadge(own.version, group.channel?.package?.version, outline.versions)],
    [
      "Last update",
      own.last_update_version
        ? `${own.last_update_version}${own.update_in_progress ? ", under way" : ""}`
        : "none",
    ],
    ["Granted", moment(own.last_update_granted_ts)],
    ["If it asked now", one.outlook || null],
    ["Last check", since(own.last_check_for_updates)],
    ["First seen", moment(one.first_seen ?? one.created_ts)],
    ["Board", one.board || null],
    ["OEM", one.oem ? `${one.oem} ${one.oem_version ?? ""}` : null],
    ["Installed from", one.aleph_version || null],
    ["Boot ID", one.boot_id ? h("code", { class: "wrap" }, one.boot_id) : null],
  ]);
}

/** @param {any} data */
function history({ outline, group, history: rows }) {
  if (!rows.length) return h("p", { class: "quiet" }, "It has never been granted an update.");
  /** @type {import("../table.js").Column[]} */
  const columns = [
    { key: "time", label: "Time", cell: (row) => moment(row.created_ts) },
    { key: "state", label: "State", cell: (row) => statusBadge(row.status) },
    {
      key: "version",
      label: "Version",
      cell: (row) =>
        row.version
          ? versionBadge(row.version, group.channel?.package?.version, outline.versions)
          : "–",
    },
    { key: "message", label: "Message", cell: (row) => statusOf(row.status).label },
  ];
  return table(columns, rows, {
    caption: "State history",
    rowKey: (row) => `${row.created_ts} ${row.status}`,
  });
}

/** @param {any[]} rows */
function events(rows) {
  if (!rows.length) return h("p", { class: "quiet" }, "It has not reported anything.");
  /** @type {import("../table.js").Column[]} */
  const columns = [
    { key: "time", label: "Time", cell: (row) => moment(row.created_ts) },
    { key: "result", label: "Result", cell: (row) => resultBadge(row.result) },
    { key: "event", label: "Event", cell: (row) => [eventText(row), withoutEffect(row)] },
    { key: "error", label: "Error", cell: (row) => errorText(row) },
    { key: "previous", label: "Before", cell: (row) => row.previous_version || "–" },
  ];
  const count = new Map();
  const rowKey = (/** @type {any} */ row) => {
    const key = `${row.created_ts} ${row.type}:${row.result}`;
    count.set(key, (count.get(key) ?? 0) + 1);
    return `${key} ${count.get(key)}`;
  };
  return table(columns, rows, { caption: "Events", rowKey });
}

/** @param {number} result */
function resultBadge(result) {
  const [tone, sign, text] = RESULTS[/** @type {0} */ (result)] ?? ["good", "✓", "Success"];
  return badge(tone, text, sign);
}

/** @param {any} event */
function withoutEffect(event) {
  return event.ignored ? h("small", null, `without effect: ${event.ignored}`) : null;
}

/** @param {any} event */
function errorText(event) {
  if (!event.error && !event.error_code) return "–";
  const code = h("small", null, `code ${event.error_code}`);
  return [h("b", null, event.error || "unknown error"), code];
}

/**
 * @param {any} one
 * @param {import("../page.js").Context} context
 */
async function rename(one, context) {
  const done = await formDialog({
    title: "Rename instance",
    label: "Save",
    fields: [
      { name: "alias", label: "Name", value: one.alias, hint: "Shown beside the ID; empty: none." },
    ],
    act: ({ alias }) => send("PUT", path`instances/${one.id}`, { alias }),
  });
  if (done) await context.reload();
}
