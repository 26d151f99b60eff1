// @ts-check
/** One sentence about everything, and the reasons behind it. Pure. */

import { plural } from "./format.js";

const BUSY = ["update_granted", "downloading", "downloaded", "installed"];

/**
 * @typedef {{tone: string, text: string, app?: string, group?: string, place?: string}} Finding
 */

/**
 * The state of all groups and locks, worst first.
 * @param {any[]} apps as /api/apps gives them
 * @param {{groups: any[]} | null} locks
 * @returns {{tone: string, text: string, findings: Finding[]}}
 */
export function verdict(apps, locks) {
  const groups = apps.flatMap((app) =>
    (app.groups ?? []).map((/** @type {any} */ group) => ({ app, group })),
  );
  const findings = [
    ...groups.flatMap(({ app, group }) => failed(app, group)),
    ...groups.flatMap(({ app, group }) => paused(app, group)),
    ...(locks?.groups ?? []).flatMap(full),
    ...groups.flatMap(({ app, group }) => rolling(app, group)),
  ];
  const total = groups.reduce((sum, { group }) => sum + (group.instances_stats?.total ?? 0), 0);
  const seen = `${plural(total, "instance")} in ${plural(groups.length, "group")}`;
  return { ...sentence(findings, seen, total), findings };
}

/**
 * @param {Finding[]} findings
 * @param {string} seen
 * @param {number} total
 */
function sentence(findings, seen, total) {
  const bad = findings.filter((one) => one.tone === "bad");
  const wait = findings.filter((one) => one.tone === "wait");
  const rest = bad.length + wait.length - 1;
  const more = rest > 0 ? `, and ${rest} more` : "";
  if (bad.length) return { tone: "bad", text: `Needs attention: ${bad[0].text}${more}.` };
  if (wait.length) return { tone: "wait", text: `Held back: ${wait[0].text}${more}.` };
  const moving = findings.filter((one) => one.tone === "busy1").length;
  if (moving)
    return { tone: "busy1", text: `Healthy: ${seen}, ${plural(moving, "rollout")} under way.` };
  if (!total) return { tone: "idle", text: "No instance has asked for updates in the last day." };
  return { tone: "good", text: `Healthy: ${seen}, no update under way.` };
}

/**
 * @param {any} app
 * @param {any} group
 * @returns {Finding[]}
 */
function failed(app, group) {
  const errors = group.instances_stats?.error ?? 0;
  if (!errors) return [];
  const text = `${plural(errors, "instance")} of ${app.name} / ${group.name} failed to update`;
  return [{ tone: "bad", text, app: app.id, group: group.id }];
}

/**
 * @param {any} app
 * @param {any} group
 * @returns {Finding[]}
 */
function paused(app, group) {
  if (group.policy_updates_enabled) return [];
  const why = group.pause_reason ? ` (${group.pause_reason})` : "";
  return [
    {
      tone: "wait",
      text: `updates of ${app.name} / ${group.name} are paused${why}`,
      app: app.id,
      group: group.id,
    },
  ];
}

/**
 * @param {any} app
 * @param {any} group
 * @returns {Finding[]}
 */
function rolling(app, group) {
  const stats = group.instances_stats ?? {};
  const busy = BUSY.reduce((sum, name) => sum + (stats[name] ?? 0), 0);
  if (!group.rollout_in_progress && !busy) return [];
  const version = group.channel?.package?.version;
  const text = `${app.name} / ${group.name} is rolling out ${version ?? "an update"}: ${busy} of ${stats.total ?? 0} updating`;
  return [{ tone: "busy1", text, app: app.id, group: group.id }];
}

/**
 * @param {any} lock
 * @returns {Finding[]}
 */
function full(lock) {
  if (
    lock.semaphore === null ||
    lock.semaphore > 0 ||
    !lock.holders?.some((/** @type {any} */ one) => isOld(one))
  )
    return [];
  const name = lock.group ? `reboot lock of group ${lock.group}` : "reboot lock";
  return [
    {
      tone: "wait",
      text: `the ${name} is taken for over an hour, nobody else may reboot`,
      place: "locks",
    },
  ];
}

/** @param {any} holder */
function isOld(holder) {
  return (holder.age_s ?? 0) > 3600;
}
