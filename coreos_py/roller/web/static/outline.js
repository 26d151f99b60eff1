// @ts-check
/** An application's name, channels and versions, for views of something inside it. */

import { get, path } from "./api.js";

const KEEP_MS = 15_000;
/** @type {Map<string, {at_ms: number, outline: Outline}>} */
const known = new Map();

/**
 * @typedef {{id: string, name: string, versions: string[]}} Outline `versions`: those that packages have
 */

/**
 * The outline of an application, not older than some seconds.
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Outline>}
 */
export async function outlineOf(id, signal) {
  const had = known.get(id);
  if (had && Date.now() - had.at_ms < KEEP_MS) return had.outline;
  const app = await get(path`apps/${id}`, signal);
  const versions = (app.packages ?? []).map((/** @type {any} */ one) => one.version);
  const outline = { id, name: app.name, versions };
  known.set(id, { at_ms: Date.now(), outline });
  return outline;
}
