// @ts-check
/** Times, ages, sizes and counts as people read them. */

import { h } from "./dom.js";

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;
const NEVER = "0001-01-01";

const FULL = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DATE_CLOCK = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const NUMBER = new Intl.NumberFormat("en-GB");

/** How far the server's clock is ahead of this one, so that ages are right with any clock. */
let aheadMs = 0;

/**
 * Take over the server's time.
 * @param {string | number | undefined} now ISO text, or seconds or milliseconds since the epoch
 */
export function setServerTime(now) {
  const time = typeof now === "number" ? (now < 1e11 ? now * 1000 : now) : Date.parse(now ?? "");
  if (!Number.isNaN(time)) aheadMs = time - Date.now();
}

/** The server's time in milliseconds. */
export function serverNow() {
  return Date.now() + aheadMs;
}

/** @param {string | null | undefined} iso */
export function isTime(iso) {
  return Boolean(iso) && !String(iso).startsWith(NEVER);
}

/**
 * A moment in local time, the exact one on hover.
 * @param {string | null | undefined} iso
 */
export function moment(iso) {
  if (!isTime(iso)) return h("span", { class: "quiet" }, "never");
  return h("time", { datetime: iso, title: iso }, FULL.format(new Date(String(iso))));
}

/**
 * How long ago a moment was; `tick` keeps it true.
 * @param {string | null | undefined} iso
 */
export function since(iso) {
  if (!isTime(iso)) return h("span", { class: "quiet" }, "never");
  return h("time", { datetime: iso, title: iso, "data-age": true }, agoText(String(iso)));
}

/** Bring every age on the page up to date. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-age]")) {
    const text = agoText(element.getAttribute("datetime") ?? "");
    if (element.textContent !== text && element.firstChild) element.firstChild.nodeValue = text;
  }
}

/** @param {string} iso */
export function dayOf(iso) {
  return DAY.format(new Date(iso));
}

/** @param {string} iso */
export function clockOf(iso) {
  return CLOCK.format(new Date(iso));
}

/**
 * A moment on a chart's axis.
 * @param {number} ms
 * @param {number} span_ms
 */
export function axisTime(ms, span_ms) {
  return (span_ms > DAY_S * 1000 * 1.5 ? DATE_CLOCK : CLOCK).format(new Date(ms));
}

/**
 * `3 min`, `2 h 5 min`, `4 days`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE_S) return `${whole} s`;
  if (whole < HOUR_S) return `${Math.floor(whole / MINUTE_S)} min`;
  if (whole < DAY_S) {
    const minutes = Math.floor((whole % HOUR_S) / MINUTE_S);
    return `${Math.floor(whole / HOUR_S)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  const days = Math.floor(whole / DAY_S);
  return days === 1 ? "1 day" : `${days} days`;
}

/** @param {number | null | undefined} value */
export function count(value) {
  return NUMBER.format(value ?? 0);
}

/**
 * `1 machine`, `2 machines`.
 * @param {number} value
 * @param {string} word
 */
export function plural(value, word) {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** @param {string | number | null | undefined} bytes */
export function size(bytes) {
  let value = Number(bytes);
  if (bytes === null || bytes === undefined || bytes === "" || Number.isNaN(value)) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB")
      return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1024;
  }
  return "–";
}

/** @param {string} iso */
function agoText(iso) {
  const seconds = (serverNow() - Date.parse(iso)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}
