// @ts-check
/** What can be done with a row of a table, for those who may. */

import { button } from "./parts.js";

/**
 * Show what has become of something, if it was done.
 * @param {Promise<any>} done
 * @param {import("./page.js").Context} context
 */
export async function after(done, context) {
  if (await done) await context.reload();
}

/**
 * Buttons of a row, for those who may.
 * @param {import("./page.js").Context} context
 * @param {(row: any) => string} name
 * @param {(row: any) => Promise<any>} edit
 * @param {(row: any) => Promise<any>} remove
 * @returns {import("./table.js").Column[]}
 */
export function rowActions(context, name, edit, remove) {
  if (!context.canWrite) return [];
  /** @param {any} row */
  const cell = (row) => [
    button("Edit", () => after(edit(row), context), { kind: "small", title: `Edit ${name(row)}` }),
    button("Delete", () => after(remove(row), context), {
      kind: "small",
      title: `Delete ${name(row)}`,
    }),
  ];
  return [{ key: "actions", label: "", actions: true, cell }];
}
