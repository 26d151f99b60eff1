// @ts-check
/** Who holds the reboot locks in etcd, for how long, and ways to release or widen them. */

import { find, list, path, query, send } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { count, duration, plural, since } from "../format.js";
import { button, facts, heading, notice, section } from "../parts.js";
import { href } from "../router.js";
import { table } from "../table.js";

const OLD_S = 3600;

/**
 * @typedef {import("../page.js").Context} Context
 */

/** @type {import("../page.js").View} */
export const locks = {
  title: () => "Reboot locks",
  twin: () => "locks",
  load: (_, signal) => find("locks", signal).then((found) => found ?? { groups: null }),
  news: (data, before) =>
    holders(data) === holders(before)
      ? ""
      : `${plural(holders(data), "machine")} hold the reboot lock`,
  draw: (data, context) => [
    heading("Reboot locks", {
      below: h(
        "p",
        { class: "quiet" },
        "Machines with the strategy etcd-lock take a lock before they reboot and release it once they are back.",
      ),
    }),
    data.groups === null &&
      notice(
        "idle",
        "No etcd is configured: start rollerd with ",
        h("code", null, "-etcd"),
        " to see the locks.",
      ),
    data.groups?.length === 0 && h("p", { class: "quiet" }, "No machine has ever taken a lock."),
    (data.groups ?? []).map((/** @type {any} */ lock) => one(lock, context)),
  ],
};

/** @param {any} data */
function holders(data) {
  return (data.groups ?? []).reduce(
    (/** @type {number} */ sum, /** @type {any} */ lock) => sum + (lock.holders ?? []).length,
    0,
  );
}

/** @param {any} lock */
function nameOf(lock) {
  return lock.group ? `Group ${lock.group}` : "Default group";
}

/**
 * @param {any} lock
 * @param {Context} context
 */
function one(lock, context) {
  const held = lock.holders ?? [];
  if (lock.semaphore === null)
    return section(
      nameOf(lock),
      notice(
        "bad",
        "Its key in etcd holds something else than a lock; locksmithctl cannot use it either.",
      ),
    );
  const actions = context.canWrite
    ? [
        button("Change maximum", () => setMax(lock, context), {
          title: `Change maximum of ${nameOf(lock)}`,
        }),
      ]
    : [];
  return section(
    nameOf(lock),
    [
      facts([
        ["Free", `${count(lock.semaphore)} of ${count(lock.max)}`],
        ["Maximum at a time", count(lock.max)],
      ]),
      lock.semaphore <= 0 && held.length
        ? h("p", null, "Nobody else can reboot until one of these is back.")
        : null,
      held.length
        ? table(columns(lock, context), held, {
            caption: `Holders, ${nameOf(lock)}`,
            rowKey: (holder) => holder.id,
          })
        : h("p", { class: "quiet" }, "Nobody holds it."),
    ],
    actions,
  );
}

/**
 * @param {any} lock
 * @param {Context} context
 * @returns {import("../table.js").Column[]}
 */
function columns(lock, context) {
  /** @type {import("../table.js").Column[]} */
  const always = [
    {
      key: "id",
      label: "Machine",
      cell: (holder) => [
        h("a", { href: href("search", {}, { q: holder.id }), class: "wrap" }, holder.id),
        holder.alias && h("small", null, holder.alias),
      ],
    },
    {
      key: "since",
      label: "Since",
      cell: (holder) =>
        holder.since_ts ? since(holder.since_ts) : h("span", { class: "quiet" }, "not known"),
    },
    { key: "age", label: "Held for", cell: age },
  ];
  if (!context.canWrite) return always;
  /** @param {any} holder */
  const unlock = (holder) =>
    button("Unlock", () => release(lock, holder, context), {
      kind: "small",
      title: `Unlock ${holder.id}`,
    });
  return [...always, { key: "actions", label: "", actions: true, cell: unlock }];
}

/** @param {any} holder */
function age(holder) {
  if (holder.age_s === null || holder.age_s === undefined)
    return h("span", { class: "quiet" }, "not known");
  const isOld = holder.age_s > OLD_S;
  return h(
    "span",
    { class: isOld ? "tone-wait" : null },
    duration(holder.age_s),
    isOld ? " – is it still there?" : "",
  );
}

/**
 * @param {any} lock
 * @param {any} holder
 * @param {Context} context
 */
async function release(lock, holder, context) {
  const seen = await list("apps")
    .then(({ rows }) => lastSeen(rows, holder.id))
    .catch(() => null);
  const done = await confirmDialog({
    title: `Unlock ${holder.alias || holder.id}?`,
    text: [
      h(
        "p",
        null,
        "Another machine may then reboot, even if this one is still on its way down or up.",
      ),
      h(
        "p",
        null,
        seen
          ? ["It last asked for updates ", since(seen), "."]
          : "It is not known here when it was last alive.",
      ),
    ],
    label: "Unlock",
    act: () => send("POST", path`locks/${lock.group}/unlock`, { holder: holder.id }),
  });
  if (done) await context.reload();
}

/**
 * When a machine was last heard of, by any application.
 * @param {any[]} apps
 * @param {string} id
 * @returns {Promise<string | null>}
 */
async function lastSeen(apps, id) {
  const found = await Promise.all(
    apps.map((app) => list(path`apps/${app.id}/instances` + query({ search: id, perpage: 1 }))),
  );
  const times = found.flatMap(({ rows }) =>
    rows.filter((row) => row.id === id).map((row) => row.application?.last_check_for_updates),
  );
  return times.sort().pop() ?? null;
}

/**
 * @param {any} lock
 * @param {Context} context
 */
async function setMax(lock, context) {
  const done = await formDialog({
    title: `Maximum of ${nameOf(lock).toLowerCase()}`,
    intro: h(
      "p",
      null,
      `At present ${count(lock.max)}. With a lower one than there are holders, nobody gets the lock until enough of them are back.`,
    ),
    label: "Change maximum",
    danger: true,
    fields: [
      {
        name: "max",
        label: "Machines that may reboot at a time",
        type: "number",
        min: 0,
        value: lock.max,
        required: true,
      },
    ],
    act: ({ max }) => send("PUT", path`locks/${lock.group}`, { max }),
  });
  if (done) await context.reload();
}
