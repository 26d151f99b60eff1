// @ts-check
/** Tables that sort, filter and page: here what the browser has, or there what the server has. */

import { h } from "./dom.js";
import { count } from "./format.js";

/**
 * @typedef {{
 *   key: string,
 *   label: string,
 *   cell: (row: any) => any,
 *   sort?: ((row: any) => string | number) | true,
 *   number?: boolean,
 *   actions?: boolean,
 * }} Column `sort: true` leaves the sorting to the server
 * @typedef {{by: string, order: "asc" | "desc"}} Sorting
 */

const LOCAL_PAGE = 50;
/** @type {Map<string, {sorting: Sorting | null, filter: string, page: number}>} */
const states = new Map();

/**
 * Rows as they are given.
 * @param {Column[]} columns
 * @param {any[]} rows
 * @param {{caption: string, rowKey: (row: any) => string, sorting?: Sorting | null,
 *   onSort?: (sorting: Sorting) => void}} options
 */
export function table(columns, rows, { caption, rowKey, sorting, onSort }) {
  const head = columns.map((column) => header(column, sorting ?? null, onSort));
  const body = rows.map((row) =>
    h(
      "tr",
      { key: rowKey(row) },
      columns.map((column) =>
        h(
          "td",
          { "data-label": column.label, class: classOf(column) },
          h("div", null, column.cell(row)),
        ),
      ),
    ),
  );
  return h(
    "table",
    null,
    h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, head)),
    h("tbody", null, body),
  );
}

/**
 * Rows that are all here: sorted, filtered and paged in the browser. `id` names the table's state.
 * @param {string} id
 * @param {Column[]} columns
 * @param {any[]} rows
 * @param {{caption: string, rowKey: (row: any) => string, empty: any, redraw: () => void,
 *   text: (row: any) => string}} options `text`: what the filter looks through
 */
export function localTable(id, columns, rows, { caption, rowKey, empty, redraw, text }) {
  const state = states.get(id) ?? { sorting: null, filter: "", page: 1 };
  /** @param {Partial<typeof state>} change */
  const change = (change) => {
    states.set(id, { ...state, ...change });
    redraw();
  };
  if (!rows.length) return h("p", { class: "quiet" }, empty);
  const wanted = state.filter.trim().toLowerCase();
  const found = wanted ? rows.filter((row) => text(row).toLowerCase().includes(wanted)) : rows;
  const column = columns.find((one) => one.key === state.sorting?.by);
  const sorted = column && state.sorting ? ordered(found, column, state.sorting.order) : found;
  const page = Math.min(state.page, Math.max(1, Math.ceil(sorted.length / LOCAL_PAGE)));
  const shown = sorted.slice((page - 1) * LOCAL_PAGE, page * LOCAL_PAGE);
  return h(
    "div",
    { class: "tablebox" },
    rows.length > 5 && filterBox(caption, state.filter, (filter) => change({ filter, page: 1 })),
    sorted.length
      ? table(columns, shown, {
          caption,
          rowKey,
          sorting: state.sorting,
          onSort: (sorting) => change({ sorting }),
        })
      : h("p", { class: "quiet" }, `Nothing here matches “${state.filter}”.`),
    pager({ page, perPage: LOCAL_PAGE, total: sorted.length, onPage: (page) => change({ page }) }),
  );
}

/**
 * Which rows are shown, and buttons for the others; nothing if all are shown.
 * @param {{page: number, perPage: number, total: number, onPage: (page: number) => void}} options
 */
export function pager({ page, perPage, total, onPage }) {
  const pages = Math.max(1, Math.ceil(total / perPage));
  if (pages <= 1) return null;
  const first = (page - 1) * perPage + 1;
  const last = Math.min(total, page * perPage);
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    pageButton("First", 1, page > 1, onPage),
    pageButton("Previous", page - 1, page > 1, onPage),
    h("span", null, `${count(first)} to ${count(last)} of ${count(total)}`),
    pageButton("Next", page + 1, page < pages, onPage),
    pageButton("Last", pages, page < pages, onPage),
  );
}

/**
 * @param {string} label
 * @param {number} page
 * @param {boolean} possible
 * @param {(page: number) => void} onPage
 */
function pageButton(label, page, possible, onPage) {
  return h(
    "button",
    { type: "button", disabled: !possible, on: { click: () => onPage(page) } },
    label,
  );
}

/**
 * @param {string} caption
 * @param {string} value
 * @param {(value: string) => void} onInput
 */
function filterBox(caption, value, onInput) {
  return h("input", {
    type: "search",
    class: "filter",
    placeholder: "Filter",
    "aria-label": `Filter ${caption}`,
    value,
    on: { input: (/** @type {any} */ event) => onInput(event.currentTarget.value) },
  });
}

/**
 * @param {Column} column
 * @param {Sorting | null} sorting
 * @param {((sorting: Sorting) => void) | undefined} onSort
 */
function header(column, sorting, onSort) {
  const attributes = { scope: "col", class: classOf(column) };
  if (!column.sort || !onSort)
    return h("th", attributes, column.label || h("span", { class: "unseen" }, "Actions"));
  const isSorted = sorting?.by === column.key;
  const order = isSorted && sorting.order === "asc" ? "desc" : "asc";
  const arrow = isSorted ? (sorting.order === "asc" ? " ▲" : " ▼") : "";
  const direction = isSorted ? (sorting.order === "asc" ? "ascending" : "descending") : null;
  return h(
    "th",
    { ...attributes, "aria-sort": direction },
    h(
      "button",
      { type: "button", class: "sort", on: { click: () => onSort({ by: column.key, order }) } },
      column.label,
      h("span", { class: "arrow", "aria-hidden": "true" }, arrow),
    ),
  );
}

/** @param {Column} column */
function classOf(column) {
  return column.number ? "number" : column.actions ? "actions" : null;
}

/**
 * @param {any[]} rows
 * @param {Column} column
 * @param {"asc" | "desc"} order
 */
function ordered(rows, column, order) {
  const value = /** @type {(row: any) => string | number} */ (column.sort);
  const sign = order === "asc" ? 1 : -1;
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    const difference =
      typeof a === "number" && typeof b === "number"
        ? a - b
        : String(a).localeCompare(String(b), "en", { numeric: true });
    return sign * difference;
  });
}
