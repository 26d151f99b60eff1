// @ts-check
/** A group in pieces that several views show: its states, versions and policy in words. */

import { versionBadge } from "../badge.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { standing } from "../versions.js";
import { STATUSES, STATUS_ORDER } from "../words.js";

/** Colours for versions that no channel tells how to judge. */
export const PALETTE = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

/**
 * The parts of a bar of states.
 * @param {any} stats as in a group's instances_stats
 */
export function statusParts(stats) {
  return STATUS_ORDER.map((number) => {
    const { name, field, tone } = STATUSES[number];
    return { label: name, text: name, value: stats?.[field] ?? 0, tone };
  });
}

/**
 * The parts of a bar of versions.
 * @param {{version: string, instances: number}[]} breakdown
 * @param {string | undefined} offered
 * @param {string[]} known
 */
export function versionParts(breakdown, offered, known) {
  return (breakdown ?? []).map(({ version, instances }, at) => ({
    label: versionBadge(version, offered, known),
    text: version,
    value: instances,
    tone: offered ? standing(version, offered, known).tone : PALETTE[at % PALETTE.length],
  }));
}

/**
 * A group's policy in words, one thing per entry.
 * @param {any} group
 * @returns {string[]}
 */
export function policyWords(group) {
  const words = [
    `Max ${count(group.policy_max_updates_per_period)} updates per ${group.policy_period_interval}`,
    `updates time out after ${group.policy_update_timeout}`,
  ];
  if (group.policy_safe_mode) words.push("safe mode");
  if (group.policy_office_hours)
    words.push(`office hours only (${group.policy_timezone || "no time zone"})`);
  if (group.policy_canaries) words.push(`${group.policy_canaries} canaries first`);
  if (group.oem_blacklist) words.push(`not for ${group.oem_blacklist.replaceAll(",", ", ")}`);
  if ((group.update_percent ?? 100) < 100)
    words.push(`at most ${group.update_percent} % of instances`);
  return words;
}

/** @param {any} group */
export function updatesState(group) {
  if (!group.policy_updates_enabled) return h("span", { class: "tone-wait" }, "paused");
  return group.rollout_in_progress ? h("span", { class: "tone-busy1" }, "rolling out") : "enabled";
}
