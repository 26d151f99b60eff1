// @ts-check
/** Creating, changing, pausing and deleting groups, with every field of their policy. */

import { path, send } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { plural } from "../format.js";

const INTERVALS = ["5 minutes", "15 minutes", "30 minutes", "1 hours", "6 hours", "1 days"];
const NEW = {
  policy_updates_enabled: true,
  policy_safe_mode: true,
  policy_period_interval: "15 minutes",
  policy_max_updates_per_period: 1,
  policy_update_timeout: "60 minutes",
  policy_canaries: 0,
  update_percent: 100,
};

/**
 * @param {any} app
 * @param {any} group null for a new one
 * @param {string[]} zones time zones that the server knows
 */
export function editGroup(app, group, zones) {
  const value = group ?? NEW;
  return formDialog({
    title: group ? `Edit group ${group.name}` : "New group",
    label: group ? "Save" : "Create",
    fields: [...identity(app, value), ...policy(value, zones)],
    act: (values) => {
      const body = {
        ...values,
        channel_id: values.channel_id || null,
        policy_timezone: values.policy_timezone || null,
      };
      return group
        ? send("PUT", path`apps/${app.id}/groups/${group.id}`, body)
        : send("POST", path`apps/${app.id}/groups`, body);
    },
  });
}

/**
 * Stop granting updates in a group.
 * @param {any} app
 * @param {any} group
 */
export function pauseGroup(app, group) {
  return formDialog({
    title: `Pause updates of ${group.name}?`,
    intro: h(
      "p",
      null,
      "Nobody is granted an update until somebody resumes. Machines that are updating already finish it.",
    ),
    label: "Pause updates",
    danger: true,
    fields: [
      { name: "reason", label: "Reason", hint: "Shown to everybody who looks at this group." },
    ],
    act: ({ reason }) =>
      send("POST", path`apps/${app.id}/groups/${group.id}/pause`, reason ? { reason } : {}),
  });
}

/**
 * Grant updates again.
 * @param {any} app
 * @param {any} group
 */
export function resumeGroup(app, group) {
  const why = group.pause_reason;
  return confirmDialog({
    title: `Resume updates of ${group.name}?`,
    text: [
      why && h("p", null, "They are paused: ", h("b", null, why), "."),
      h("p", null, "Machines that ask are granted updates again, as the policy allows."),
    ],
    label: "Resume updates",
    act: () => send("POST", path`apps/${app.id}/groups/${group.id}/resume`),
  });
}

/**
 * @param {any} app
 * @param {any} group
 */
export function deleteGroup(app, group) {
  const total = group.instances_stats?.total ?? 0;
  return confirmDialog({
    title: `Delete group ${group.name}?`,
    text: h(
      "p",
      null,
      `Its ${plural(total, "instance")} then belong to no group, and are refused updates until they are configured for another one.`,
    ),
    label: "Delete group",
    act: () => send("DELETE", path`apps/${app.id}/groups/${group.id}`),
  });
}

/**
 * @param {any} app
 * @param {any} value
 * @returns {import("../forms.js").Field[]}
 */
function identity(app, value) {
  const channels = (app.channels ?? []).map((/** @type {any} */ one) => ({
    value: one.id,
    label: one.package ? `${one.name} (${one.package.version})` : one.name,
  }));
  return [
    { name: "name", label: "Name", value: value.name, required: true },
    { name: "description", label: "Description", value: value.description },
    {
      name: "channel_id",
      label: "Channel",
      type: "select",
      value: value.channel_id,
      options: [{ value: "", label: "none" }, ...channels],
    },
    {
      name: "track",
      label: "Track",
      value: value.track,
      hint: "What machines have as GROUP in update.conf; empty: the name in lower case.",
    },
  ];
}

/**
 * @param {any} value
 * @param {string[]} zones
 * @returns {import("../forms.js").Field[]}
 */
function policy(value, zones) {
  return [
    {
      name: "policy_updates_enabled",
      label: "Updates enabled",
      type: "checkbox",
      value: value.policy_updates_enabled,
    },
    {
      name: "policy_safe_mode",
      label: "Safe mode",
      type: "checkbox",
      value: value.policy_safe_mode,
      hint: "One machine first; if its update fails, the group pauses.",
    },
    {
      name: "policy_max_updates_per_period",
      label: "Max updates per period",
      type: "number",
      min: 1,
      required: true,
      value: value.policy_max_updates_per_period,
    },
    {
      name: "policy_period_interval",
      label: "Period",
      value: value.policy_period_interval,
      required: true,
      suggestions: INTERVALS,
      pattern: "[0-9]+ +[a-z]+",
      hint: "Such as “15 minutes”.",
    },
    {
      name: "policy_update_timeout",
      label: "Update timeout",
      value: value.policy_update_timeout,
      required: true,
      suggestions: INTERVALS,
      pattern: "[0-9]+ +[a-z]+",
      hint: "An update that takes longer counts as failed.",
    },
    {
      name: "policy_canaries",
      label: "Canaries",
      type: "number",
      min: 0,
      value: value.policy_canaries ?? 0,
      hint: "So many machines must run the new version before anybody else gets it; 0: none.",
    },
    {
      name: "update_percent",
      label: "Share of instances (%)",
      type: "number",
      min: 0,
      max: 100,
      step: "any",
      value: value.update_percent ?? 100,
      hint: "At most this share of the group is updated.",
    },
    {
      name: "oem_blacklist",
      label: "Excluded OEMs",
      value: value.oem_blacklist,
      hint: "Machines of these OEMs get no updates; separated by commas, such as “ec2,azure”.",
    },
    {
      name: "policy_office_hours",
      label: "Office hours only",
      type: "checkbox",
      value: value.policy_office_hours,
      hint: "Monday to Friday, 09:00 to 16:59 in the time zone.",
    },
    {
      name: "policy_timezone",
      label: "Time zone",
      value: value.policy_timezone,
      suggestions: zones,
      hint: "Needed for office hours, such as “Europe/Berlin”.",
    },
  ];
}
