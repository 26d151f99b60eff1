// @ts-check
/** Versions and states of a group over time, for a range that the reader chooses. */

import { find } from "../api.js";
import { areas } from "../chart.js";
import { h } from "../dom.js";
import { section } from "../parts.js";
import { compare } from "../versions.js";
import { STATUSES, STATUS_ORDER } from "../words.js";
import { PALETTE } from "./group-parts.js";

const RANGES = { "1h": "1 hour", "1d": "1 day", "7d": "7 days", "30d": "30 days" };
const DEFAULT = "1d";

/**
 * @param {string} at the group's path
 * @param {string | undefined} range
 * @param {AbortSignal} signal
 */
export async function loadHistory(at, range, signal) {
  const duration = range && range in RANGES ? range : DEFAULT;
  const [versions, statuses] = await Promise.all([
    find(`${at}/version_timeline?duration=${duration}`, signal),
    find(`${at}/status_timeline?duration=${duration}`, signal),
  ]);
  return {
    duration,
    versions: pointsOf(versions, (one) => one),
    statuses: pointsOf(statuses, overVersions),
  };
}

/**
 * @param {any} history
 * @param {string[]} known
 * @param {import("../page.js").Context} context
 */
export function drawHistory(history, known, context) {
  const names = [
    ...new Set([
      ...history.versions.flatMap((/** @type {any} */ point) => Object.keys(point.values)),
    ]),
  ].sort(compare);
  // A version keeps its colour when others come and go.
  const rank = [...new Set([...known, ...names])].sort(compare);
  const versions = names.map((name) => ({
    key: name,
    label: name || "unknown",
    tone: PALETTE[rank.indexOf(name) % PALETTE.length],
  }));
  const statuses = STATUS_ORDER.map((number) => ({
    key: String(number),
    label: STATUSES[number].name,
    tone: STATUSES[number].tone,
  }));
  return [
    section("Versions over time", areas("Versions over time", versions, history.versions), [
      ranges(history.duration, context),
    ]),
    section("States over time", areas("States over time", statuses, history.statuses), [
      ranges(history.duration, context),
    ]),
  ];
}

/**
 * @param {string} chosen
 * @param {import("../page.js").Context} context
 */
function ranges(chosen, context) {
  const choices = Object.entries(RANGES).map(([key, label]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(key === chosen),
        on: { click: () => context.set({ range: key }) },
      },
      label,
    ),
  );
  return h("div", { class: "choices", role: "group", "aria-label": "Range" }, choices);
}

/**
 * @param {Record<string, any> | null} timeline by time
 * @param {(value: any) => Record<string, number>} values
 * @returns {import("../chart.js").Point[]}
 */
function pointsOf(timeline, values) {
  return Object.entries(timeline ?? {})
    .map(([at, value]) => ({ at_ms: Date.parse(at), values: values(value ?? {}) }))
    .sort((one, other) => one.at_ms - other.at_ms);
}

/**
 * How many instances have each state, whatever their version.
 * @param {Record<string, Record<string, number>>} byStatus
 */
function overVersions(byStatus) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const [status, versions] of Object.entries(byStatus)) {
    const key = status === "0" || status === "null" ? "1" : status;
    sums[key] = (sums[key] ?? 0) + Object.values(versions).reduce((sum, one) => sum + one, 0);
  }
  return sums;
}
