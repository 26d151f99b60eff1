// @ts-check
/** An application's packages as a table, the newest version first. */

import { channelLabel } from "../badge.js";
import { h } from "../dom.js";
import { deletePackage, editPackage } from "../edit/package.js";
import { moment, size } from "../format.js";
import { rowActions } from "../row-actions.js";
import { localTable } from "../table.js";
import { compare } from "../versions.js";
import { PACKAGE_TYPES } from "../words.js";

/**
 * @typedef {import("../page.js").Context} Context
 * @typedef {import("../table.js").Column} Column
 */

/**
 * @param {any} data
 * @param {Context} context
 */
export function packageTable(data, context) {
  const rows = [...(data.packages ?? [])].sort((one, other) => compare(other.version, one.version));
  const rank = new Map([...rows].reverse().map((one, at) => [one.id, at]));
  /** @type {Column[]} */
  const columns = [
    {
      key: "version",
      label: "Version",
      sort: (one) => rank.get(one.id) ?? 0,
      cell: (one) => [
        h("b", null, one.version),
        one.description && h("small", null, one.description),
      ],
    },
    {
      key: "type",
      label: "Type",
      sort: (one) => one.type,
      cell: (one) => PACKAGE_TYPES[one.type] ?? String(one.type),
    },
    {
      key: "file",
      label: "File",
      cell: (one) => h("span", { class: "wrap" }, one.url ?? "", one.filename ?? ""),
    },
    {
      key: "size",
      label: "Size",
      number: true,
      sort: (one) => Number(one.size ?? 0),
      cell: (one) => size(one.size),
    },
    {
      key: "created",
      label: "Created",
      sort: (one) => one.created_ts,
      cell: (one) => moment(one.created_ts),
    },
    { key: "channels", label: "Channels", cell: (one) => channelsOf(data, one) },
    ...rowActions(
      context,
      (one) => `package ${one.version}`,
      (one) => editPackage(data, one, context.config.payloads),
      (one) => deletePackage(data, one),
    ),
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
  const on = all
    .filter((/** @type {any} */ channel) => channel.package_id === one.id)
    .map(channelLabel);
  const off = all.filter((/** @type {any} */ channel) =>
    (one.channels_blacklist ?? []).includes(channel.id),
  );
  if (!on.length && !off.length) return h("span", { class: "quiet" }, "–");
  return h(
    "span",
    { class: "labels" },
    on,
    off.map((/** @type {any} */ channel) => h("small", null, "never on ", channel.name)),
  );
}
