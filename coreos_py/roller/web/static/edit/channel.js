// @ts-check
/** Creating, changing and deleting channels. */

import { path, send } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";

const COLOURS = ["#1f77b4", "#2ca02c", "#fc7f33", "#9467bd", "#d62728", "#17becf"];

/**
 * @param {any} app
 * @param {any} channel null for a new one
 */
export function editChannel(app, channel) {
  const used = (app.channels ?? []).length;
  const packages = (app.packages ?? []).map((/** @type {any} */ one) => ({
    value: one.id,
    label: one.version,
  }));
  return formDialog({
    title: channel ? `Edit channel ${channel.name}` : "New channel",
    label: channel ? "Save" : "Create",
    fields: [
      { name: "name", label: "Name", value: channel?.name, required: true },
      {
        name: "color",
        label: "Colour",
        type: "color",
        value: channel?.color ?? COLOURS[used % COLOURS.length],
      },
      {
        name: "package_id",
        label: "Package",
        type: "select",
        value: channel?.package_id,
        options: [{ value: "", label: "none" }, ...packages],
        hint: "What groups on this channel are offered from now on.",
      },
    ],
    act: (values) => {
      const body = { ...values, package_id: values.package_id || null };
      return channel
        ? send("PUT", path`apps/${app.id}/channels/${channel.id}`, body)
        : send("POST", path`apps/${app.id}/channels`, body);
    },
  });
}

/**
 * @param {any} app
 * @param {any} channel
 */
export function deleteChannel(app, channel) {
  return confirmDialog({
    title: `Delete channel ${channel.name}?`,
    text: h(
      "p",
      null,
      "Groups on this channel stay, but are offered nothing until they get another one.",
    ),
    label: "Delete channel",
    act: () => send("DELETE", path`apps/${app.id}/channels/${channel.id}`),
  });
}
