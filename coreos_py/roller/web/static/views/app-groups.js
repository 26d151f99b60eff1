// @ts-check
/** An application's groups as a table. */

import { channelLabel } from "../badge.js";
import { bar } from "../chart.js";
import { h } from "../dom.js";
import { deleteGroup, editGroup } from "../edit/group.js";
import { count } from "../format.js";
import { href } from "../router.js";
import { rowActions } from "../row-actions.js";
import { localTable } from "../table.js";
import { policyWords, statusParts, updatesState } from "./group-parts.js";

/**
 * @typedef {import("../page.js").Context} Context
 * @typedef {import("../table.js").Column} Column
 */

/**
 * @param {any} data
 * @param {Context} context
 */
export function groupTable(data, context) {
  const address = (/** @type {any} */ group) => href("group", { app: data.id, group: group.id });
  /** @type {Column[]} */
  const columns = [
    {
      key: "name",
      label: "Name",
      sort: (group) => group.name,
      cell: (group) => [
        h("a", { href: address(group) }, group.name),
        group.description && h("small", null, group.description),
      ],
    },
    {
      key: "channel",
      label: "Channel",
      sort: (group) => group.channel?.name ?? "",
      cell: (group) => [
        channelLabel(group.channel),
        " ",
        h("span", { class: "quiet" }, group.channel?.package?.version ?? ""),
      ],
    },
    {
      key: "policy",
      label: "Rollout policy",
      cell: (group) => h("small", null, policyWords(group).join(" | ")),
    },
    {
      key: "updates",
      label: "Updates",
      sort: (group) => (group.policy_updates_enabled ? 1 : 0),
      cell: (group) => [
        updatesState(group),
        group.pause_reason && h("small", null, group.pause_reason),
      ],
    },
    {
      key: "instances",
      label: "Instances",
      number: true,
      sort: (group) => group.instances_stats?.total ?? 0,
      cell: (group) => count(group.instances_stats?.total),
    },
    {
      key: "states",
      label: "States",
      cell: (group) =>
        bar(`States of ${group.name}`, statusParts(group.instances_stats), { compact: true }),
    },
    ...rowActions(
      context,
      (group) => `group ${group.name}`,
      (group) => editGroup(data, group, context.config.timezones ?? []),
      (group) => deleteGroup(data, group),
    ),
  ];
  return localTable(`groups ${data.id}`, columns, data.groups ?? [], {
    caption: "groups",
    rowKey: (group) => group.id,
    text: (group) =>
      `${group.name} ${group.description} ${group.track} ${group.channel?.name} ${group.id}`,
    empty: "No groups yet: a group is a set of machines that are updated by one policy.",
    redraw: context.redraw,
  });
}
