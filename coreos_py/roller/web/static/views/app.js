// @ts-check
/** One application: its groups, channels and packages. */

import { get, path } from "../api.js";
import { channelLabel } from "../badge.js";
import { bar } from "../chart.js";
import { h } from "../dom.js";
import { deleteApplication, editApplication } from "../edit/application.js";
import { deleteChannel, editChannel } from "../edit/channel.js";
import { deleteGroup, editGroup } from "../edit/group.js";
import { deletePackage, editPackage } from "../edit/package.js";
import { count, moment, size } from "../format.js";
import { button, heading, section } from "../parts.js";
import { href } from "../router.js";
import { localTable } from "../table.js";
import { PACKAGE_TYPES } from "../words.js";
import { compare } from "../versions.js";
import { policyWords, statusParts, updatesState } from "./group-parts.js";

/**
 * @typedef {import("../page.js").Context} Context
 * @typedef {import("../table.js").Column} Column
 */

/** @type {import("../page.js").View} */
export const app = {
  title: (data) => data.name,
  twin: ({ params }) => path`apps/${params.app}`,
  load: ({ params }, signal) => get(path`apps/${params.app}`, signal),
  draw: (data, context) => {
    const { canWrite, config } = context;
    const add = (/** @type {string} */ label, /** @type {() => Promise<any>} */ edit) => [canWrite && button(label, () => after(edit(), context))];
    return [
      heading(data.name, {
        crumbs: [["Applications", href("apps")]],
        actions: canWrite
          ? [button("Edit", () => after(editApplication(data, []), context)), button("Delete", () => remove(data), { kind: "danger" })]
          : [],
        below: h("p", { class: "quiet" }, data.description ? `${data.description} · ` : "", "ID ", h("code", null, data.id)),
      }),
      section("Groups", groups(data, context), add("New group", () => editGroup(data, null, config.timezones ?? []))),
      section("Channels", channels(data, context), add("New channel", () => editChannel(data, null))),
      section("Packages", packages(data, context), add("New package", () => editPackage(data, null, config.payloads))),
    ];
  },
};

/** @param {any} data */
async function remove(data) {
  if (await deleteApplication(data)) location.hash = href("apps");
}

/**
 * @param {Promise<any>} done
 * @param {Context} context
 */
async function after(done, context) {
  if (await done) await context.reload();
}

/**
 * Buttons of a row, for those who may.
 * @param {Context} context
 * @param {(row: any) => string} name
 * @param {(row: any) => Promise<any>} edit
 * @param {(row: any) => Promise<any>} remove
 * @returns {Column[]}
 */
function actions(context, name, edit, remove) {
  if (!context.canWrite) return [];
  /** @param {any} row */
  const cell = (row) => [
    button("Edit", () => after(edit(row), context), { kind: "small", title: `Edit ${name(row)}` }),
    button("Delete", () => after(remove(row), context), { kind: "small", title: `Delete ${name(row)}` }),
  ];
  return [{ key: "actions", label: "", actions: true, cell }];
}

/**
 * @param {any} data
 * @param {Context} context
 */
function groups(data, context) {
  const address = (/** @type {any} */ group) => href("group", { app: data.id, group: group.id });
  /** @type {Column[]} */
  const columns = [
    { key: "name", label: "Name", sort: (group) => group.name, cell: (group) => [h("a", { href: address(group) }, group.name), group.description && h("small", null, group.description)] },
    { key: "channel", label: "Channel", sort: (group) => group.channel?.name ?? "", cell: (group) => [channelLabel(group.channel), " ", h("span", { class: "quiet" }, group.channel?.package?.version ?? "")] },
    { key: "policy", label: "Rollout policy", cell: (group) => h("small", null, policyWords(group).join(" | ")) },
    { key: "updates", label: "Updates", sort: (group) => (group.policy_updates_enabled ? 1 : 0), cell: (group) => [updatesState(group), group.pause_reason && h("small", null, group.pause_reason)] },
    { key: "instances", label: "Instances", number: true, sort: (group) => group.instances_stats?.total ?? 0, cell: (group) => count(group.instances_stats?.total) },
    { key: "states", label: "States", cell: (group) => bar(`States of ${group.name}`, statusParts(group.instances_stats), { compact: true }) },
    ...actions(context, (group) => `group ${group.name}`, (group) => editGroup(data, group, context.config.timezones ?? []), (group) => deleteGroup(data, group)),
  ];
  return localTable(`groups ${data.id}`, columns, data.groups ?? [], {
    caption: "groups",
    rowKey: (group) => group.id,
    text: (group) => `${group.name} ${group.description} ${group.track} ${group.channel?.name} ${group.id}`,
    empty: "No groups yet: a group is a set of machines that are updated by one policy.",
    redraw: context.redraw,
  });
}

/**
 * @param {any} data
 * @param {Context} context
 */
function channels(data, context) {
  /** @type {Column[]} */
  const columns = [
    { key: "name", label: "Name", sort: (channel) => channel.name, cell: channelLabel },
    { key: "version", label: "Offers", sort: (channel) => channel.package?.version ?? "", cell: (channel) => channel.package?.version ?? h("span", { class: "quiet" }, "nothing") },
    { key: "released", label: "Package of", sort: (channel) => channel.package?.created_ts ?? "", cell: (channel) => (channel.package ? moment(channel.package.created_ts) : "–") },
    { key: "groups", label: "Groups", cell: (channel) => groupsOn(data, channel) },
    ...actions(context, (channel) => `channel ${channel.name}`, (channel) => editChannel(data, channel), (channel) => deleteChannel(data, channel)),
  ];
  return localTable(`channels ${data.id}`, columns, data.channels ?? [], {
    caption: "channels",
    rowKey: (channel) => channel.id,
    text: (channel) => `${channel.name} ${channel.package?.version}`,
    empty: "No channels yet: a channel is a name, such as “stable”, for the package its groups are offered.",
    redraw: context.redraw,
  });
}

/**
 * @param {any} data
 * @param {any} channel
 */
function groupsOn(data, channel) {
  const names = (data.groups ?? []).filter((/** @type {any} */ group) => group.channel_id === channel.id).map((/** @type {any} */ group) => group.name);
  if (!names.length) return h("span", { class: "quiet" }, "none");
  return names.length > 4 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ");
}

/**
 * @param {any} data
 * @param {Context} context
 */
function packages(data, context) {
  const rows = [...(data.packages ?? [])].sort((one, other) => compare(other.version, one.version));
  const rank = new Map([...rows].reverse().map((one, at) => [one.id, at]));
  /** @type {Column[]} */
  const columns = [
    { key: "version", label: "Version", sort: (one) => rank.get(one.id) ?? 0, cell: (one) => [h("b", null, one.version), one.description && h("small", null, one.description)] },
    { key: "type", label: "Type", sort: (one) => one.type, cell: (one) => PACKAGE_TYPES[one.type] ?? String(one.type) },
    { key: "file", label: "File", cell: (one) => h("span", { class: "wrap" }, one.url ?? "", one.filename ?? "") },
    { key: "size", label: "Size", number: true, sort: (one) => Number(one.size ?? 0), cell: (one) => size(one.size) },
    { key: "created", label: "Created", sort: (one) => one.created_ts, cell: (one) => moment(one.created_ts) },
    { key: "channels", label: "Channels", cell: (one) => channelsOf(data, one) },
    ...actions(context, (one) => `package ${one.version}`, (one) => editPackage(data, one, context.config.payloads), (one) => deletePackage(data, one)),
  ];
  return localTable(`packages ${data.id}`, columns, rows, {
    caption: "packages",
    rowKey: (one) => one.id,
    text: (one) => `${one.version} ${one.description} ${one.filename}`,
    empty: "No packages yet: a package is one version of what machines install.",
    redraw: context.redraw,
  });
}

/**
 * @param {any} data
 * @param {any} one
 */
function channelsOf(data, one) {
  const all = data.channels ?? [];
  const on = all.filter((/** @type {any} */ channel) => channel.package_id === one.id).map(channelLabel);
  const off = all.filter((/** @type {any} */ channel) => (one.channels_blacklist ?? []).includes(channel.id));
  if (!on.length && !off.length) return h("span", { class: "quiet" }, "–");
  return h("span", { class: "labels" }, on, off.map((/** @type {any} */ channel) => h("small", null, "never on ", channel.name)));
}
