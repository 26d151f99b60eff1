// @ts-check
/** The vocabulary of the update server: states, activity, kinds of packages, roles. */

/**
 * @typedef {{name: string, label: string, tone: string, sign: string, field: string}} Status
 */

/**
 * States of an instance by number. `tone` names the colour, `sign` says the same without one,
 * `field` is the state's count in a group's statistics.
 * @type {Record<number, Status>}
 */
export const STATUSES = {
  4: { name: "Complete", label: "Update completed", tone: "good", sign: "✓", field: "complete" },
  2: {
    name: "Granted",
    label: "Updating: granted",
    tone: "busy1",
    sign: "◔",
    field: "update_granted",
  },
  7: {
    name: "Downloading",
    label: "Updating: downloading",
    tone: "busy2",
    sign: "↓",
    field: "downloading",
  },
  6: {
    name: "Downloaded",
    label: "Updating: downloaded",
    tone: "busy3",
    sign: "◑",
    field: "downloaded",
  },
  5: {
    name: "Installed",
    label: "Updating: installed",
    tone: "busy4",
    sign: "◕",
    field: "installed",
  },
  8: { name: "On hold", label: "Waiting…", tone: "wait", sign: "‖", field: "onhold" },
  3: { name: "Error", label: "Error updating", tone: "bad", sign: "✕", field: "error" },
  1: { name: "Undefined", label: "Undefined", tone: "idle", sign: "○", field: "undefined" },
};
/** The order in which states are listed and stacked. */
export const STATUS_ORDER = [4, 5, 6, 7, 2, 8, 3, 1];

/**
 * The state of an instance; none means that it has never had an update.
 * @param {number | null | undefined} number
 */
export function statusOf(number) {
  return (
    STATUSES[number ?? 1] ?? { ...STATUSES[1], name: `State ${number}`, label: `State ${number}` }
  );
}

/** @type {Record<number, {name: string, tone: string, sign: string}>} */
export const SEVERITIES = {
  1: { name: "Success", tone: "good", sign: "✓" },
  2: { name: "Information", tone: "busy1", sign: "i" },
  3: { name: "Warning", tone: "wait", sign: "!" },
  4: { name: "Error", tone: "bad", sign: "✕" },
};

/** @type {Record<number, string>} */
export const PACKAGE_TYPES = { 1: "CoreOS", 2: "Docker", 3: "rkt", 4: "Other" };

/** @type {Record<number, (entry: any) => string>} */
const ACTIVITY = {
  1: (entry) => `No package to offer: the channel of ${group(entry)} has none`,
  2: (entry) => `Rollout of ${entry.version} started in ${group(entry)}`,
  3: (entry) => `Rollout of ${entry.version} finished in ${group(entry)}: every instance has it`,
  4: (entry) => `Rollout of ${entry.version} failed in ${group(entry)}: updates are disabled`,
  5: (entry) => `Instance ${entry.instance_id ?? "?"} failed to update to ${entry.version}`,
  7: (entry) => `Updates paused in ${group(entry)}`,
  8: (entry) => `Updates resumed in ${group(entry)}`,
  6: (entry) =>
    `Channel ${entry.channel_name ?? "?"} now points to ${entry.version || "no package"}`,
};

/**
 * What an activity entry says.
 * @param {any} entry
 * @returns {string}
 */
export function activityText(entry) {
  const say = ACTIVITY[entry.class];
  return say
    ? say(entry)
    : `Event of class ${entry.class}${entry.version ? ` (${entry.version})` : ""}`;
}

/** Omaha's event types, as far as clients send them. */
const EVENT_TYPES = /** @type {Record<number, string>} */ ({
  1: "Download complete",
  2: "Install complete",
  3: "Update complete",
  9: "Install finished",
  13: "Download started",
  14: "Download finished",
  15: "Installer started",
  800: "Installed",
});
const EVENT_RESULTS = /** @type {Record<number, string>} */ ({
  0: "error",
  1: "success",
  2: "success, rebooted",
  3: "success, restarted",
  4: "cancelled",
  7: "no update",
  9: "deferred",
});

/**
 * What an event of an instance says, without its error.
 * @param {{type: number, result: number}} event
 */
export function eventText({ type, result }) {
  if (type === 3 && result === 1) return "Update installed, reboot pending";
  if (type === 3 && result === 2) return "Running the new version after a reboot";
  if (type === 3 && result === 0) return "Update failed";
  const what = EVENT_TYPES[type] ?? `Event ${type}`;
  return `${what}: ${EVENT_RESULTS[result] ?? `result ${result}`}`;
}

/** @param {any} entry */
function group(entry) {
  return [entry.application_name, entry.group_name].filter(Boolean).join(" / ") || "a group";
}
