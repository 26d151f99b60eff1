// @ts-check
/** Comparing versions: which is newer, and how far an instance is behind its channel. */

const SHAPE = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?/;

/**
 * Below 0 if `one` is older than `other`, by semantic versioning; what is no version is oldest.
 * @param {string} one
 * @param {string} other
 */
export function compare(one, other) {
  const a = SHAPE.exec(one);
  const b = SHAPE.exec(other);
  if (!a || !b) return a ? 1 : b ? -1 : one.localeCompare(other);
  for (const at of [1, 2, 3]) {
    const difference = Number(a[at]) - Number(b[at]);
    if (difference) return difference;
  }
  if (!a[4] || !b[4]) return a[4] ? -1 : b[4] ? 1 : 0;
  return comparePrerelease(a[4].split("."), b[4].split("."));
}

/**
 * How a version stands to what its channel offers.
 * @param {string} version
 * @param {string | null | undefined} offered
 * @param {string[]} known versions that have been offered, in any order
 * @returns {{tone: string, text: string}}
 */
export function standing(version, offered, known = []) {
  if (!version || !offered) return { tone: "idle", text: "" };
  const order = compare(version, offered);
  if (order === 0) return { tone: "good", text: "current" };
  if (order > 0) return { tone: "busy1", text: "newer than the channel" };
  const between = new Set(
    known.filter((one) => compare(one, version) > 0 && compare(one, offered) < 0),
  );
  return between.size === 0
    ? { tone: "wait", text: "one version behind" }
    : { tone: "bad", text: `${between.size + 1} versions behind` };
}

/**
 * @param {string[]} one
 * @param {string[]} other
 */
function comparePrerelease(one, other) {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const [a, b] = [one[at], other[at]];
    if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
    const [isA, isB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
    if (isA && isB && Number(a) !== Number(b)) return Number(a) - Number(b);
    if (isA !== isB) return isA ? -1 : 1;
    if (a !== b && !isA) return a < b ? -1 : 1;
  }
  return 0;
}
