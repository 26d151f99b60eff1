// @ts-check
/** Who may sign in, for administrators. */

import { list, path, send } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { button, heading } from "../parts.js";
import { roleColumns, roleField } from "../roles.js";
import { localTable } from "../table.js";

/**
 * @typedef {import("../page.js").Context} Context
 */

/** @type {import("../page.js").View} */
export const users = {
  title: () => "Users",
  twin: () => "users",
  load: async (_, signal) => (await list("users", signal)).rows,
  draw: (data, context) => [
    heading("Users", {
      actions: [context.canWrite && button("New user", () => create(context), { kind: "primary" })],
    }),
    localTable("users", columns(context), data, {
      caption: "users",
      rowKey: (one) => one.name,
      text: (one) => `${one.name} ${one.role}`,
      empty: "No users.",
      redraw: context.redraw,
    }),
  ],
};

/**
 * @param {Context} context
 * @returns {import("../table.js").Column[]}
 */
function columns(context) {
  /** @type {import("../table.js").Column[]} */
  const always = [
    {
      key: "name",
      label: "Name",
      sort: (one) => one.name,
      cell: (one) => [
        one.name,
        one.name === context.config.user ? h("small", null, "this is you") : null,
      ],
    },
    ...roleColumns,
  ];
  if (!context.canWrite) return always;
  /** @param {any} one */
  const cell = (one) => [
    button("Edit", () => edit(one, context), { kind: "small", title: `Edit user ${one.name}` }),
    button("Delete", () => remove(one, context), {
      kind: "small",
      title: `Delete user ${one.name}`,
    }),
  ];
  return [...always, { key: "actions", label: "", actions: true, cell }];
}

/** @param {Context} context */
async function create(context) {
  const done = await formDialog({
    title: "New user",
    label: "Create",
    fields: [
      { name: "name", label: "Name", required: true },
      {
        name: "password",
        label: "Password",
        type: "password",
        required: true,
        autocomplete: "new-password",
      },
      roleField(),
    ],
    act: (values) => send("POST", "users", values),
  });
  if (done) await context.reload();
}

/**
 * @param {any} one
 * @param {Context} context
 */
async function edit(one, context) {
  const done = await formDialog({
    title: `Edit user ${one.name}`,
    label: "Save",
    fields: [
      roleField(one.role),
      {
        name: "password",
        label: "New password",
        type: "password",
        autocomplete: "new-password",
        hint: "Empty: it stays as it is.",
      },
    ],
    act: ({ role, password }) =>
      send("PUT", path`users/${one.name}`, password ? { role, password } : { role }),
  });
  if (done) await context.restart();
}

/**
 * @param {any} one
 * @param {Context} context
 */
async function remove(one, context) {
  const done = await confirmDialog({
    title: `Delete user ${one.name}?`,
    text: h("p", null, "Their sessions end at once."),
    label: "Delete user",
    act: () => send("DELETE", path`users/${one.name}`),
  });
  if (done) await context.restart();
}
