// @ts-check
/** Charts as SVG: one stacked bar, and stacked areas over time, each with its numbers as a table. */

import { h, s } from "./dom.js";
import { axisTime, count } from "./format.js";

const WIDTH = 1000;
const HEIGHT = 200;
const BAR_HEIGHT = 20;
const TABLE_ROWS = 40;

/**
 * @typedef {{key: string, label: string, tone: string}} Series
 * @typedef {{at_ms: number, values: Record<string, number>}} Point
 */

/**
 * Shares of a whole, with a legend that says the same in numbers.
 * @param {string} title
 * @param {{label: any, text: string, value: number, tone: string}[]} parts
 * @param {{compact?: boolean}} [options] compact: without the legend
 */
export function bar(title, parts, { compact = false } = {}) {
  const present = parts.filter((part) => part.value > 0);
  const total = present.reduce((sum, part) => sum + part.value, 0);
  if (!total)
    return compact
      ? h("span", { class: "quiet" }, "–")
      : h("p", { class: "quiet" }, "No instances.");
  const summary = `${title}: ${present.map((part) => `${part.text} ${count(part.value)}`).join(", ")}`;
  let x = 0;
  const pieces = present.map((part) => {
    const width = (part.value / total) * WIDTH;
    const piece = s(
      "rect",
      {
        x: x.toFixed(1),
        y: 0,
        width: width.toFixed(1),
        height: BAR_HEIGHT,
        class: `fill-${part.tone}`,
      },
      s("title", null, `${part.text}: ${count(part.value)} (${percent(part.value, total)})`),
    );
    x += width;
    return piece;
  });
  const picture = s(
    "svg",
    {
      class: "bar",
      viewBox: `0 0 ${WIDTH} ${BAR_HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": summary,
    },
    pieces,
  );
  if (compact) return h("div", { class: "chart compact" }, picture);
  const legend = present.map((part) =>
    h(
      "li",
      null,
      swatch(part.tone),
      part.label,
      " ",
      h("b", null, count(part.value)),
      h("span", { class: "quiet" }, ` ${percent(part.value, total)}`),
    ),
  );
  return h("div", { class: "chart" }, picture, h("ul", { class: "legend" }, legend));
}

/**
 * How much of each there was over time.
 * @param {string} title
 * @param {Series[]} series from the bottom up
 * @param {Point[]} points
 */
export function areas(title, series, points) {
  const used = series.filter((one) => points.some((point) => point.values[one.key]));
  if (points.length < 2 || !used.length) {
    return h(
      "p",
      { class: "quiet" },
      "No history in this range yet; a sample is taken every five minutes.",
    );
  }
  const [first, last] = [points[0].at_ms, points[points.length - 1].at_ms];
  const top = Math.max(1, ...points.map((point) => sum(point, used)));
  const x = (/** @type {number} */ at) => (((at - first) / (last - first || 1)) * WIDTH).toFixed(1);
  const y = (/** @type {number} */ value) => (HEIGHT - (value / top) * (HEIGHT - 4)).toFixed(1);
  const base = points.map(() => 0);
  const shapes = used.map((one) => {
    const below = points.map((point, at) => `${x(point.at_ms)} ${y(base[at])}`).reverse();
    points.forEach((point, at) => (base[at] += point.values[one.key] ?? 0));
    const above = points.map((point, at) => `${x(point.at_ms)} ${y(base[at])}`);
    const d = `M${above.join("L")}L${below.join("L")}Z`;
    return s("path", { d, class: `fill-${one.tone}` }, s("title", null, one.label));
  });
  const lines = [0.25, 0.5, 0.75].map((share) =>
    s("line", { x1: 0, x2: WIDTH, y1: HEIGHT * share, y2: HEIGHT * share, class: "grid" }),
  );
  const picture = s(
    "svg",
    {
      class: "areas",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `${title}, from ${axisTime(first, last - first)} to ${axisTime(last, last - first)}`,
      on: {
        pointermove: readOut(used, points),
        pointerleave: (/** @type {any} */ event) => say(event, ""),
      },
    },
    shapes,
    lines,
  );
  const legend = used.map((one) => h("li", null, swatch(one.tone), one.label));
  return h(
    "figure",
    { class: "chart" },
    h("div", { class: "top quiet" }, count(top)),
    picture,
    h("div", { class: "axis quiet" }, axisTicks(first, last)),
    h("p", { class: "readout", "aria-hidden": "true" }, "\u00a0"),
    h("ul", { class: "legend" }, legend),
    numbers(title, used, points, last - first),
  );
}

/** @param {string} tone */
function swatch(tone) {
  return s(
    "svg",
    { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" },
    s("rect", { width: 10, height: 10, rx: 2, class: `fill-${tone}` }),
  );
}

/**
 * @param {number} first
 * @param {number} last
 */
function axisTicks(first, last) {
  return [0, 0.5, 1].map((share) =>
    h("span", null, axisTime(first + (last - first) * share, last - first)),
  );
}

/**
 * The chart's numbers, thinned out to a readable length.
 * @param {string} title
 * @param {Series[]} series
 * @param {Point[]} points
 * @param {number} span_ms
 */
function numbers(title, series, points, span_ms) {
  const step = Math.ceil(points.length / TABLE_ROWS);
  const rows = points.filter((_, at) => (points.length - 1 - at) % step === 0).reverse();
  return h(
    "details",
    null,
    h("summary", null, "As a table"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}, numbers` },
      h(
        "table",
        { class: "plain" },
        h("caption", { class: "unseen" }, title),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "Time"),
            series.map((one) => h("th", { scope: "col", class: "number" }, one.label)),
          ),
        ),
        h(
          "tbody",
          null,
          rows.map((point) =>
            h(
              "tr",
              null,
              h("th", { scope: "row" }, axisTime(point.at_ms, span_ms)),
              series.map((one) => h("td", { class: "number" }, count(point.values[one.key]))),
            ),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {Series[]} series
 * @param {Point[]} points
 */
function readOut(series, points) {
  return (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / (box.width || 1)));
    const [first, last] = [points[0].at_ms, points[points.length - 1].at_ms];
    const wanted = first + share * (last - first);
    const nearest = points.reduce((best, one) =>
      Math.abs(one.at_ms - wanted) < Math.abs(best.at_ms - wanted) ? one : best,
    );
    const parts = series
      .filter((one) => nearest.values[one.key])
      .map((one) => `${one.label} ${count(nearest.values[one.key])}`);
    say(event, `${axisTime(nearest.at_ms, last - first)}: ${parts.join(", ") || "none"}`);
  };
}

/**
 * @param {any} event
 * @param {string} text
 */
function say(event, text) {
  const place = event.currentTarget.closest("figure")?.querySelector(".readout");
  if (place) place.textContent = text || "\u00a0";
}

/**
 * @param {Point} point
 * @param {Series[]} series
 */
function sum(point, series) {
  return series.reduce((total, one) => total + (point.values[one.key] ?? 0), 0);
}

/**
 * @param {number} value
 * @param {number} total
 */
function percent(value, total) {
  const share = (value / total) * 100;
  return `${share > 0 && share < 1 ? "<1" : Math.round(share)} %`;
}
