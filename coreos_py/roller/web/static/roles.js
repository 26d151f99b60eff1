// @ts-check
/** What a user or a token may do: its role, in words, as a choice and in tables. */

import { moment } from "./format.js";

/** @type {Record<string, string>} */
const ROLES = { admin: "Administrator", viewer: "Viewer (read only)" };

/**
 * A role in words.
 * @param {string} role
 */
export const roleName = (role) => ROLES[role] ?? role;

/**
 * The field of a form that chooses a role.
 * @param {string} [value]
 * @returns {import("./forms.js").Field}
 */
export function roleField(value = "viewer") {
  const options = Object.entries(ROLES).map(([name, label]) => ({ value: name, label }));
  return { name: "role", label: "Role", type: "select", value, options };
}

/** What tables tell of a role that was given. @type {import("./table.js").Column[]} */
export const roleColumns = [
  {
    key: "role",
    label: "Role",
    sort: (one) => one.role,
    cell: (one) => roleName(one.role),
  },
  {
    key: "created",
    label: "Created",
    sort: (one) => one.created_ts ?? "",
    cell: (one) => moment(one.created_ts),
  },
];
