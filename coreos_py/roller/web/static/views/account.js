// @ts-check
/** One's own account: who one is, the password, tokens for programs. */

import { SESSION, list, path, send } from "../api.js";
import { confirmDialog, formDialog, showDialog } from "../dialog.js";
import { h } from "../dom.js";
import { since } from "../format.js";
import { button, facts, heading, section } from "../parts.js";
import { roleColumns, roleField, roleName } from "../roles.js";
import { localTable } from "../table.js";

const PASSWORD_MIN = 8;

/**
 * @typedef {import("../page.js").Context} Context
 */

/** @type {import("../page.js").View} */
export const account = {
  title: () => "Account",
  twin: ({ canWrite }) => (canWrite ? "tokens" : "config"),
  load: async ({ canWrite }, signal) => ({
    tokens: canWrite ? (await list("tokens", signal)).rows : null,
  }),
  draw: (data, context) => {
    const { config } = context;
    return [
      heading("Account", { actions: [config.user && button("Sign out", () => signOut(context))] }),
      facts([
        ["User", config.user || "nobody is signed in"],
        ["Role", roleName(config.role)],
        ["Server", `${config.title} ${config.version ?? ""}`],
      ]),
      config.user &&
        section(
          "Password",
          h(
            "p",
            null,
            button("Change password", () => changePassword()),
          ),
        ),
      data.tokens &&
        section("Tokens", tokens(data.tokens, context), [
          button("New token", () => newToken(context), { kind: "primary" }),
        ]),
    ];
  },
};

/** @param {Context} context */
async function signOut(context) {
  try {
    await send("DELETE", SESSION);
  } catch (error) {
    showDialog({
      title: "Not signed out",
      content: h("p", null, /** @type {Error} */ (error).message),
    });
    return;
  }
  location.hash = "#/";
  await context.restart();
}

function changePassword() {
  return formDialog({
    title: "Change password",
    label: "Change password",
    fields: [
      {
        name: "password",
        label: "New password",
        type: "password",
        required: true,
        autocomplete: "new-password",
        hint: `At least ${PASSWORD_MIN} characters.`,
      },
      {
        name: "again",
        label: "Once more",
        type: "password",
        required: true,
        autocomplete: "new-password",
      },
    ],
    act: async ({ password, again }) => {
      if (password !== again) throw new Error("the two are not the same");
      await send("PUT", "password", { password });
    },
  });
}

/**
 * @param {any[]} all
 * @param {Context} context
 */
function tokens(all, context) {
  /** @type {import("../table.js").Column[]} */
  const columns = [
    { key: "name", label: "Name", sort: (one) => one.name, cell: (one) => one.name },
    ...roleColumns,
    {
      key: "used",
      label: "Last used",
      sort: (one) => one.last_used_ts ?? "",
      cell: (one) => since(one.last_used_ts),
    },
    {
      key: "actions",
      label: "",
      actions: true,
      cell: (one) =>
        button("Revoke", () => revoke(one, context), {
          kind: "small",
          title: `Revoke token ${one.name}`,
        }),
    },
  ];
  return localTable("tokens", columns, all, {
    caption: "tokens",
    rowKey: (one) => one.id,
    text: (one) => `${one.name} ${one.role}`,
    empty: "No tokens yet: programs such as updatectl sign in with one.",
    redraw: context.redraw,
  });
}

/** @param {Context} context */
async function newToken(context) {
  const made = await formDialog({
    title: "New token",
    label: "Create",
    fields: [
      { name: "name", label: "Name", required: true, hint: "What it is for." },
      roleField(),
    ],
    act: (values) => send("POST", "tokens", values),
  });
  if (!made) return;
  await context.reload();
  // Browsers have no clipboard for pages that come over plain http from elsewhere.
  const copy = navigator.clipboard
    ? button("Copy", () => navigator.clipboard.writeText(made.token))
    : null;
  showDialog({
    title: "The new token",
    content: [
      h("p", null, "Copy it now, it cannot be shown again:"),
      h("p", null, h("code", { class: "wrap secret" }, made.token), " ", copy),
    ],
  });
}

/**
 * @param {any} one
 * @param {Context} context
 */
async function revoke(one, context) {
  const done = await confirmDialog({
    title: `Revoke token ${one.name}?`,
    text: h("p", null, "Programs that use it are refused from now on."),
    label: "Revoke token",
    act: () => send("DELETE", path`tokens/${one.id}`),
  });
  if (done) await context.reload();
}
