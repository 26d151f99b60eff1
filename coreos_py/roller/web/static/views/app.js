// @ts-check
/** One application: its groups, channels and packages. */

import { get, path } from "../api.js";
import { h } from "../dom.js";
import { deleteApplication, editApplication } from "../edit/application.js";
import { editChannel } from "../edit/channel.js";
import { editGroup } from "../edit/group.js";
import { editPackage } from "../edit/package.js";
import { button, heading, section } from "../parts.js";
import { href } from "../router.js";
import { after } from "../row-actions.js";
import { channelTable } from "./app-channels.js";
import { groupTable } from "./app-groups.js";
import { packageTable } from "./app-packages.js";

/** @type {import("../page.js").View} */
export const app = {
  title: (data) => data.name,
  twin: ({ params }) => path`apps/${params.app}`,
  load: ({ params }, signal) => get(path`apps/${params.app}`, signal),
  draw: (data, context) => {
    const { canWrite, config } = context;
    const add = (/** @type {string} */ label, /** @type {() => Promise<any>} */ edit) => [
      canWrite && button(label, () => after(edit(), context)),
    ];
    return [
      heading(data.name, {
        crumbs: [["Applications", href("apps")]],
        actions: canWrite
          ? [
              button("Edit", () => after(editApplication(data, []), context)),
              button("Delete", () => remove(data), { kind: "danger" }),
            ]
          : [],
        below: h(
          "p",
          { class: "quiet" },
          data.description ? `${data.description} · ` : "",
          "ID ",
          h("code", null, data.id),
        ),
      }),
      section(
        "Groups",
        groupTable(data, context),
        add("New group", () => editGroup(data, null, config.timezones ?? [])),
      ),
      section(
        "Channels",
        channelTable(data, context),
        add("New channel", () => editChannel(data, null)),
      ),
      section(
        "Packages",
        packageTable(data, context),
        add("New package", () => editPackage(data, null, config.payloads)),
      ),
    ];
  },
};

/** @param {any} data */
async function remove(data) {
  if (await deleteApplication(data)) location.hash = href("apps");
}
