// @ts-check
/** Creating, changing and deleting applications. */

import { path, query, send } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { plural } from "../format.js";

/**
 * @param {any} app null for a new one
 * @param {any[]} others applications whose groups and channels a new one can take over
 */
export function editApplication(app, others) {
  const copies = [
    { value: "", label: "nothing" },
    ...others.map((one) => ({ value: one.id, label: one.name })),
  ];
  return formDialog({
    title: app ? `Edit ${app.name}` : "New application",
    label: app ? "Save" : "Create",
    fields: [
      { name: "name", label: "Name", value: app?.name, required: true },
      { name: "description", label: "Description", value: app?.description, type: "textarea" },
      {
        name: "product_id",
        label: "Product ID",
        value: app?.product_id,
        hint: "Another ID by which machines may ask; empty: none.",
        advanced: true,
      },
      ...(app || !others.length
        ? []
        : [
            /** @type {const} */ ({
              name: "from",
              label: "Copy groups and channels of",
              type: "select",
              options: copies,
            }),
          ]),
    ],
    act: ({ name, description, product_id, from }) => {
      const body = { name, description, product_id: product_id || null };
      return app
        ? send("PUT", path`apps/${app.id}`, body)
        : send("POST", `apps${query({ clone_from: from })}`, body);
    },
  });
}

/** @param {any} app */
export function deleteApplication(app) {
  const instances = app.instances?.count ?? 0;
  return confirmDialog({
    title: `Delete ${app.name}?`,
    text: h(
      "p",
      null,
      `Its groups, channels, packages and the history of ${plural(instances, "instance")} are deleted with it. Machines that ask for its updates will be refused.`,
    ),
    label: "Delete application",
    act: () => send("DELETE", path`apps/${app.id}`),
  });
}
