// @ts-check
/** Small labels: states in text, sign and colour; versions by how far they are behind. */

import { h, s } from "./dom.js";
import { SEVERITIES, statusOf } from "./words.js";
import { standing } from "./versions.js";

/**
 * @param {string} tone
 * @param {string} text
 * @param {string} [sign]
 * @param {string} [title]
 */
export function badge(tone, text, sign, title) {
  const mark = sign ? h("span", { class: "sign", "aria-hidden": "true" }, sign) : null;
  return h("span", { class: `badge tone-${tone}`, title }, mark, text);
}

/**
 * @param {number | null | undefined} number
 */
export function statusBadge(number) {
  const status = statusOf(number);
  return badge(status.tone, status.name, status.sign, status.label);
}

/** @param {number} number */
export function severityBadge(number) {
  const severity = SEVERITIES[number] ?? SEVERITIES[2];
  return badge(severity.tone, severity.name, severity.sign);
}

/**
 * @param {string} version
 * @param {string | null | undefined} offered
 * @param {string[]} [known]
 */
export function versionBadge(version, offered, known) {
  const { tone, text } = standing(version, offered, known);
  return h(
    "span",
    { class: `version tone-${tone}`, title: text || null },
    version || "unknown",
    text && h("span", { class: "unseen" }, ` (${text})`),
  );
}

/**
 * A channel's colour and name, and what it offers.
 * @param {any} channel
 */
export function channelLabel(channel) {
  if (!channel) return h("span", { class: "quiet" }, "no channel");
  const colour = /^#[0-9a-f]{3,8}$/i.test(channel.color ?? "") ? channel.color : "#888888";
  const dot = s(
    "svg",
    { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" },
    s("circle", { cx: 5, cy: 5, r: 5, fill: colour }),
  );
  return h("span", { class: "channel" }, dot, channel.name);
}
