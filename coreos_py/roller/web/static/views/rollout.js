// @ts-check
/** How far a rollout is, as a bar, in numbers and in one sentence. */

import { bar } from "../chart.js";
import { h } from "../dom.js";
import { count, plural, since } from "../format.js";
import { notice } from "../parts.js";

/**
 * @param {any} progress null where nothing is offered
 * @param {string} failures where the instances are that have failed
 */
export function rollout(progress, failures) {
  if (!progress?.version)
    return h(
      "p",
      { class: "quiet" },
      "Nothing is offered: the channel has no package, or there is no channel.",
    );
  return h(
    "div",
    { class: "rollout" },
    h(
      "p",
      null,
      progressText(progress),
      progress.started_ts ? [" Started ", since(progress.started_ts), "."] : "",
    ),
    progress.failed
      ? notice(
          "bad",
          h("b", null, `${plural(progress.failed, "update")} failed.`),
          " ",
          h("a", { href: failures }, "Instances in the state Error"),
          " tell why.",
        )
      : null,
    canaries(progress.canaries),
    bar(`Rollout of ${progress.version}`, parts(progress)),
  );
}

/**
 * @param {any} progress
 * @returns {string}
 */
export function progressText(progress) {
  if (!progress?.version) return "Nothing is offered.";
  const { version, total, done } = progress;
  if (!total) return `${version} is offered; no instance has asked yet.`;
  const share = Math.floor((done / total) * 100);
  const state =
    done >= total
      ? "finished"
      : progress.paused
        ? "paused"
        : progress.in_progress
          ? "under way"
          : "waiting";
  return `${count(done)} of ${plural(total, "instance")} run ${version} (${share} %), ${state}.`;
}

/** @param {any} progress */
function parts(progress) {
  const moving = progress.in_progress ?? 0;
  const { done, failed = 0, on_hold: held = 0, total } = progress;
  const waiting = progress.waiting ?? Math.max(0, total - done - moving - failed - held);
  return [
    part("Done", done, "good"),
    part("Updating", moving, "busy2"),
    part("Failed", failed, "bad"),
    part("On hold", held, "wait"),
    part("Waiting", waiting, "idle"),
  ];
}

/**
 * @param {string} text
 * @param {number} value
 * @param {string} tone
 */
function part(text, value, tone) {
  return { label: text, text, value, tone };
}

/** @param {{wanted: number, done: number} | null | undefined} asked */
function canaries(asked) {
  if (!asked?.wanted) return null;
  const done = Math.min(asked.done, asked.wanted);
  const text = `Canaries: ${done} of ${asked.wanted} run the new version`;
  return h(
    "p",
    null,
    text,
    done < asked.wanted ? "; nobody else gets it before." : "; everybody else may follow.",
  );
}
