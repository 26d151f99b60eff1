// @ts-check
/** Applications in outline, for views of something inside them; kept for a while. */

import { get, list, path } from "./api.js";

const KEEP_MS = 15_000;
/** @type {{at_ms: number, names: Names[]}} */
let all = { at_ms: -KEEP_MS, names: [] };
/** @type {Map<string, {at_ms: number, outline: Outline}>} */
const known = new Map();

/**
 * @typedef {{id: string, name: string, versions: string[]}} Outline `versions`:
 *   those that packages have
 * @typedef {{id: string, name: string, groups: {id: string, name: string}[]}} Names
 */

/**
 * The outline of an application, not older than some seconds.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Outline>}
 */
export async function outlineOf(id, signal) {
  const had = known.get(id);
  if (had && performance.now() - had.at_ms < KEEP_MS) return had.outline;
  const app = await get(path`apps/${id}`, signal);
  const versions = (app.packages ?? []).map((/** @type {any} */ one) => one.version);
  const outline = { id, name: app.name, versions };
  known.set(id, { at_ms: performance.now(), outline });
  return outline;
}

/**
 * What all applications and their groups are called.
 * @param {AbortSignal} signal
 * @returns {Promise<Names[]>}
 */
export async function allNames(signal) {
  if (performance.now() - all.at_ms < KEEP_MS) return all.names;
  const { rows } = await list("apps", signal);
  /** @param {any} one */
  const named = ({ id, name }) => ({ id, name });
  all = {
    at_ms: performance.now(),
    names: rows.map((app) => ({ ...named(app), groups: (app.groups ?? []).map(named) })),
  };
  return all.names;
}
