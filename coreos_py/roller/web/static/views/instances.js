// @ts-check
/** The instances of a group: filtered, sorted and paged by the server. */

import { get, list, path, query } from "../api.js";
import { statusBadge, versionBadge } from "../badge.js";
import { h } from "../dom.js";
import { filterForm, input, select } from "../filters.js";
import { count, plural, since } from "../format.js";
import { outlineOf } from "../outline.js";
import { heading } from "../parts.js";
import { href } from "../router.js";
import { pager, table } from "../table.js";
import { STATUSES, STATUS_ORDER } from "../words.js";

const PER_PAGE = 50;
const DEFAULT_SORT = "last_check";

/**
 * @typedef {import("../page.js").Context} Context
 */

/** @type {import("../page.js").View} */
export const instances = {
  title: (data) => `Instances of ${data.group.name}`,
  twin: ({ params, query: asked }) => where(params, asked),
  load: async ({ params, query: asked }, signal) => {
    const [outline, group, found] = await Promise.all([
      outlineOf(params.app, signal),
      get(path`apps/${params.app}/groups/${params.group}`, signal),
      list(where(params, asked), signal),
    ]);
    return { outline, group, ...found };
  },
  news: (data, before) => (data.total === before.total ? "" : plural(data.total, "instance")),
  draw: (data, context) => {
    const { params, query: asked } = context;
    const isFiltered = asked.status || asked.version || asked.search;
    return [
      heading("Instances", {
        crumbs: [
          ["Applications", href("apps")],
          [data.outline.name, href("app", params)],
          [data.group.name, href("group", params)],
        ],
        below: h(
          "p",
          { class: "quiet" },
          `${count(data.total)} ${isFiltered ? "match" : "in all"}; those that have not asked for a day are not counted.`,
        ),
      }),
      filters(data, context),
      data.rows.length
        ? rows(data, context)
        : h(
            "p",
            { class: "quiet" },
            isFiltered
              ? "No instance matches these filters."
              : "No instance of this group has asked for updates in the last day.",
          ),
      pager({
        page: Number(asked.page ?? 1),
        perPage: PER_PAGE,
        total: data.total,
        onPage: (page) => context.set({ page }),
      }),
    ];
  },
};

/**
 * @param {Record<string, string>} params
 * @param {Record<string, string>} asked
 */
function where(params, asked) {
  const {
    status,
    version,
    search,
    page,
    sort = DEFAULT_SORT,
    order = sort === DEFAULT_SORT ? "desc" : "asc",
  } = asked;
  return (
    path`apps/${params.app}/groups/${params.group}/instances` +
    query({ status, version, search, sort, order, page, perpage: PER_PAGE })
  );
}

/**
 * @param {any} data
 * @param {Context} context
 */
function filters(data, context) {
  const { query: asked, set } = context;
  const versions = (data.group.version_breakdown ?? []).map((/** @type {any} */ one) => [
    one.version,
    `${one.version} (${count(one.instances)})`,
  ]);
  if (asked.version && !versions.some((/** @type {string[]} */ one) => one[0] === asked.version))
    versions.push([asked.version, asked.version]);
  const statuses = STATUS_ORDER.map((number) => [
    String(number),
    `${STATUSES[number].name} (${count(data.group.instances_stats?.[STATUSES[number].field])})`,
  ]);
  return filterForm(
    "Filter instances",
    select("State", asked.status, [["", "All"], ...statuses], (status) =>
      set({ status, page: null }),
    ),
    select("Version", asked.version, [["", "All"], ...versions], (version) =>
      set({ version, page: null }),
    ),
    input("ID, name or address", asked.search, (search) => set({ search, page: null })),
  );
}

/**
 * @param {any} data
 * @param {Context} context
 */
function rows(data, { params, query: asked, set }) {
  const offered = data.group.channel?.package?.version;
  /** @param {any} one */
  const link = (one) => h("a", { href: href("instance", { ...params, instance: one.id }) }, one.id);
  /** @type {import("../table.js").Column[]} */
  const columns = [
    {
      key: "id",
      label: "Instance ID",
      sort: true,
      cell: (one) => [
        h("span", { class: "wrap" }, link(one)),
        one.alias && h("small", null, one.alias),
      ],
    },
    { key: "ip", label: "IP", sort: true, cell: (one) => one.ip },
    {
      key: "status",
      label: "State",
      sort: true,
      cell: (one) => statusBadge(one.application?.status),
    },
    {
      key: "version",
      label: "Version",
      sort: true,
      cell: (one) => [
        versionBadge(one.application?.version, offered, data.outline.versions),
        goal(one.application),
      ],
    },
    {
      key: "last_check",
      label: "Last check",
      sort: true,
      cell: (one) => since(one.application?.last_check_for_updates),
    },
  ];
  const by = asked.sort ?? DEFAULT_SORT;
  const order = asked.order ?? (by === DEFAULT_SORT ? "desc" : "asc");
  return table(columns, data.rows, {
    caption: "Instances",
    rowKey: (one) => one.id,
    sorting: { by, order: order === "desc" ? "desc" : "asc" },
    onSort: (sorting) => set({ sort: sorting.by, order: sorting.order, page: null }),
  });
}

/** @param {any} own */
function goal(own) {
  return own?.update_in_progress && own.last_update_version
    ? h("small", null, `→ ${own.last_update_version}`)
    : null;
}
