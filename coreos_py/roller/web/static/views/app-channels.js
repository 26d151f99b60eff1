// @ts-check
/** An application's channels as a table. */

import { channelLabel } from "../badge.js";
import { h } from "../dom.js";
import { deleteChannel, editChannel } from "../edit/channel.js";
import { moment } from "../format.js";
import { rowActions } from "../row-actions.js";
import { localTable } from "../table.js";

/**
 * @typedef {import("../page.js").Context} Context
 * @typedef {import("../table.js").Column} Column
 */

/**
 * @param {any} data
 * @param {Context} context
 */
export function channelTable(data, context) {
  /** @type {Column[]} */
  const columns = [
    { key: "name", label: "Name", sort: (channel) => channel.name, cell: channelLabel },
    {
      key: "version",
      label: "Offers",
      sort: (channel) => channel.package?.version ?? "",
      cell: (channel) => channel.package?.version ?? h("span", { class: "quiet" }, "nothing"),
    },
    {
      key: "released",
      label: "Package of",
      sort: (channel) => channel.package?.created_ts ?? "",
      cell: (channel) => (channel.package ? moment(channel.package.created_ts) : "–"),
    },
    { key: "groups", label: "Groups", cell: (channel) => groupsOn(data, channel) },
    ...rowActions(
      context,
      (channel) => `channel ${channel.name}`,
      (channel) => editChannel(data, channel),
      (channel) => deleteChannel(data, channel),
    ),
  ];
  return localTable(`channels ${data.id}`, columns, data.channels ?? [], {
    caption: "channels",
    rowKey: (channel) => channel.id,
    text: (channel) => `${channel.name} ${channel.package?.version}`,
    empty:
      "No channels yet: a channel is a name, such as “stable”, for the package its groups are offered.",
    redraw: context.redraw,
  });
}

/**
 * @param {any} data
 * @param {any} channel
 */
function groupsOn(data, channel) {
  const names = (data.groups ?? [])
    .filter((/** @type {any} */ group) => group.channel_id === channel.id)
    .map((/** @type {any} */ group) => group.name);
  if (!names.length) return h("span", { class: "quiet" }, "none");
  return names.length > 4
    ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more`
    : names.join(", ");
}
