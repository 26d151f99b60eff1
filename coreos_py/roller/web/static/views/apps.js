// @ts-check
/** All applications. */

import { list } from "../api.js";
import { channelLabel } from "../badge.js";
import { h } from "../dom.js";
import { deleteApplication, editApplication } from "../edit/application.js";
import { count } from "../format.js";
import { button, heading, section } from "../parts.js";
import { href } from "../router.js";
import { after, rowActions } from "../row-actions.js";
import { localTable } from "../table.js";
import { activityList } from "./activity.js";

const LAST_EVENTS = 20;

/** @type {import("../page.js").View} */
export const apps = {
  title: () => "Applications",
  twin: () => "apps",
  load: async (_, signal) => {
    const [all, activity] = await Promise.all([
      list("apps", signal),
      list(`activity?perpage=${LAST_EVENTS}`, signal),
    ]);
    return { apps: all.rows, activity: activity.rows };
  },
  draw: (data, context) => [
    heading("Applications", {
      actions: [
        context.canWrite &&
          button("New application", () => after(editApplication(null, data.apps), context), {
            kind: "primary",
          }),
      ],
    }),
    applications(data.apps, context),
    section("Activity", activityList(data.activity, "Nothing has happened in the last days."), [
      h("a", { href: href("activity") }, "All activity"),
    ]),
  ],
};

/**
 * @param {any[]} all
 * @param {import("../page.js").Context} context
 */
function applications(all, context) {
  /** @type {import("../table.js").Column[]} */
  const columns = [
    {
      key: "name",
      label: "Name",
      sort: (app) => app.name,
      cell: (app) => h("a", { href: href("app", { app: app.id }) }, app.name),
    },
    {
      key: "description",
      label: "Description",
      cell: (app) => app.description || h("span", { class: "quiet" }, "–"),
    },
    {
      key: "groups",
      label: "Groups",
      number: true,
      sort: (app) => (app.groups ?? []).length,
      cell: (app) => count((app.groups ?? []).length),
    },
    { key: "channels", label: "Channels", cell: (app) => labels(app.channels ?? []) },
    {
      key: "instances",
      label: "Instances",
      number: true,
      sort: (app) => app.instances?.count ?? 0,
      cell: (app) => count(app.instances?.count),
    },
    ...rowActions(
      context,
      (app) => app.name,
      (app) => editApplication(app, []),
      deleteApplication,
    ),
  ];
  return localTable("apps", columns, all, {
    caption: "applications",
    rowKey: (app) => app.id,
    text: (app) => `${app.name} ${app.description} ${app.id}`,
    empty: "No applications yet.",
    redraw: context.redraw,
  });
}

/** @param {any[]} channels */
function labels(channels) {
  if (!channels.length) return h("span", { class: "quiet" }, "none");
  const shown = channels.slice(0, 6).map((one) => channelLabel(one));
  return h(
    "span",
    { class: "labels" },
    shown,
    channels.length > 6 && h("span", { class: "quiet" }, `+${channels.length - 6}`),
  );
}
