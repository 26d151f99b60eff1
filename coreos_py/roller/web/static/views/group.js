// @ts-check
/** One group: its rollout as it goes, policy, versions, states, and both over time. */

import { find, get, list, path, query } from "../api.js";
import { channelLabel } from "../badge.js";
import { bar } from "../chart.js";
import { h } from "../dom.js";
import { deleteGroup, editGroup, pauseGroup, resumeGroup } from "../edit/group.js";
import { count, plural } from "../format.js";
import { outlineOf } from "../outline.js";
import { button, facts, heading, notice, section } from "../parts.js";
import { href } from "../router.js";
import { after } from "../row-actions.js";
import { statusOf } from "../words.js";
import { activityList } from "./activity.js";
import { statusParts, versionParts } from "./group-parts.js";
import { loadHistory, drawHistory } from "./history.js";
import { progressText, rollout } from "./rollout.js";

const LAST_EVENTS = 8;

/**
 * @typedef {import("../page.js").Context} Context
 */

/** @type {import("../page.js").View} */
export const group = {
  title: (data) => data.group.name,
  twin: ({ params }) => path`apps/${params.app}/groups/${params.group}`,
  load: async ({ params, query: asked }, signal) => {
    const at = path`apps/${params.app}/groups/${params.group}`;
    const [outline, own, channels, progress, history, activity] = await Promise.all([
      outlineOf(params.app, signal),
      get(at, signal),
      list(path`apps/${params.app}/channels`, signal),
      find(`${at}/rollout`, signal),
      loadHistory(at, asked.range, signal),
      list(
        "activity" + query({ app: params.app, group: params.group, perpage: LAST_EVENTS }),
        signal,
      ),
    ]);
    const app = { ...outline, channels: channels.rows };
    return { outline, app, group: own, progress, history, activity: activity.rows };
  },
  news: (data, before) => {
    if (data.group.policy_updates_enabled !== before.group.policy_updates_enabled) {
      return data.group.policy_updates_enabled ? "Updates resumed" : "Updates paused";
    }
    const [now, then] = [progressText(data.progress), progressText(before.progress)];
    return now === then ? "" : now;
  },
  draw: (data, context) => [
    top(data, context),
    paused(data, context),
    section("Rollout", rollout(data.progress, href("instances", context.params, { status: 3 }))),
    section("Policy", policy(data.group)),
    section(
      "Versions",
      bar(
        "Versions",
        versionParts(
          data.group.version_breakdown,
          data.group.channel?.package?.version,
          data.outline.versions,
        ),
      ),
    ),
    section("States", states(data)),
    drawHistory(data.history, data.outline.versions, context),
    section(
      "Last events",
      activityList(data.activity, "Nothing has happened here in the last days."),
      [
        h(
          "a",
          { href: href("activity", {}, { app: data.outline.id, group: data.group.id }) },
          "All activity of this group",
        ),
      ],
    ),
  ],
};

/**
 * @param {any} data
 * @param {Context} context
 */
function top({ outline, app, group: own }, context) {
  const enabled = own.policy_updates_enabled;
  const instances = href("instances", { app: outline.id, group: own.id });
  const toggle = enabled
    ? button("Pause updates", () => after(pauseGroup(outline, own), context))
    : button("Resume updates", () => after(resumeGroup(outline, own), context), {
        kind: "primary",
      });
  return heading(own.name, {
    crumbs: [
      ["Applications", href("apps")],
      [outline.name, href("app", { app: outline.id })],
    ],
    actions: [
      h(
        "a",
        { class: "button", href: instances },
        `Instances (${count(own.instances_stats?.total)})`,
      ),
      ...(context.canWrite
        ? [
            toggle,
            button("Edit", () =>
              after(editGroup(app, own, context.config.timezones ?? []), context),
            ),
            button("Delete", () => remove(outline, own), { kind: "danger" }),
          ]
        : []),
    ],
    below: h(
      "p",
      { class: "quiet" },
      own.description ? `${own.description} · ` : "",
      "ID ",
      h("code", null, own.id),
      own.track ? [" · track ", h("code", null, own.track)] : "",
    ),
  });
}

/**
 * @param {any} outline
 * @param {any} own
 */
async function remove(outline, own) {
  if (await deleteGroup(outline, own)) location.hash = href("app", { app: outline.id });
}

/**
 * @param {any} data
 * @param {Context} context
 */
function paused({ group: own, progress }, context) {
  if (own.policy_updates_enabled) return null;
  const reason = own.pause_reason || progress?.reason || "no reason was given";
  const hint = context.canWrite ? " “Resume updates” starts them again." : "";
  return notice("wait", h("b", null, "Updates are paused: "), reason, ".", hint);
}

/** @param {any} own */
function policy(own) {
  const offers = own.channel?.package?.version;
  return facts([
    ["Channel", channelLabel(own.channel)],
    ["Offers", offers ?? h("span", { class: "quiet" }, "nothing")],
    ["Updates", own.policy_updates_enabled ? "enabled" : "paused"],
    [
      "Max updates",
      `${count(own.policy_max_updates_per_period)} per ${own.policy_period_interval}`,
    ],
    ["Update timeout", own.policy_update_timeout],
    ["Safe mode", onOff(own.policy_safe_mode)],
    ["Office hours only", own.policy_office_hours ? `on, ${own.policy_timezone}` : "off"],
    ["Time zone", own.policy_timezone || "–"],
    ["Canaries", own.policy_canaries ? `${plural(own.policy_canaries, "machine")} first` : "none"],
    ["Share of instances", own.update_percent === undefined ? null : `${own.update_percent} %`],
    ["Excluded OEMs", own.oem_blacklist ? own.oem_blacklist.replaceAll(",", ", ") : null],
  ]);
}

/** @param {boolean} value */
function onOff(value) {
  return value ? "on" : "off";
}

/** @param {any} data */
function states({ outline, group: own }) {
  const parts = statusParts(own.instances_stats).map((part) => ({
    ...part,
    label: statusLink(outline.id, own.id, part.text),
  }));
  return bar("States", parts);
}

/**
 * @param {string} app
 * @param {string} group
 * @param {string} name
 */
function statusLink(app, group, name) {
  const number = [1, 2, 3, 4, 5, 6, 7, 8].find((one) => statusOf(one).name === name);
  return h(
    "a",
    { href: href("instances", { app, group }, { status: number }), title: statusOf(number).label },
    name,
  );
}
