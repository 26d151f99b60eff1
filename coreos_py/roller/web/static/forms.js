// @ts-check
/** Fields of forms as data: drawn with their labels and hints, read back with their types. */

import { h } from "./dom.js";

/**
 * @typedef {{
 *   name: string,
 *   label: string,
 *   type?: "text" | "textarea" | "number" | "select" | "checkbox" | "color" | "file" | "password" | "checks",
 *   value?: any,
 *   hint?: string,
 *   required?: boolean,
 *   options?: {value: string, label: string}[],
 *   suggestions?: string[],
 *   min?: number,
 *   max?: number,
 *   step?: string,
 *   pattern?: string,
 *   autocomplete?: string,
 *   advanced?: boolean,
 *   first?: boolean,
 * }} Field `advanced` fields are folded away, `first` has the focus when its page is shown
 */

/**
 * The elements of a form's fields.
 * @param {Field[]} fields
 */
export function drawFields(fields) {
  const plain = fields.filter((field) => !field.advanced).map(drawField);
  const advanced = fields.filter((field) => field.advanced).map(drawField);
  if (!advanced.length) return plain;
  return [
    ...plain,
    h(
      "details",
      { class: "more" },
      h("summary", null, "More settings"),
      h("div", { class: "fields" }, advanced),
    ),
  ];
}

/**
 * What a form says, by the names of its fields; a number that is not given is null.
 * @param {HTMLFormElement} form
 * @param {Field[]} fields
 * @returns {Record<string, any>}
 */
export function readFields(form, fields) {
  return Object.fromEntries(fields.map((field) => [field.name, readField(form, field)]));
}

/**
 * @param {HTMLFormElement} form
 * @param {Field} field
 */
function readField(form, field) {
  if (field.type === "checks") {
    return [...form.querySelectorAll(`input[name="${field.name}"]:checked`)].map(
      (one) => /** @type {any} */ (one).value,
    );
  }
  const input = /** @type {any} */ (form.elements.namedItem(field.name));
  if (field.type === "checkbox") return input.checked;
  if (field.type === "file") return input.files[0] ?? null;
  const text = field.type === "password" ? input.value : input.value.trim();
  if (field.type === "number") return text === "" ? null : Number(text);
  return text;
}

/** @param {Field} field */
function drawField(field) {
  const id = `field-${field.name}`;
  const hint = field.hint ? h("small", { id: `${id}-hint` }, field.hint) : null;
  const common = {
    id,
    name: field.name,
    required: field.required,
    autocomplete: field.autocomplete ?? "off",
    "data-focus": field.first,
    "aria-describedby": hint && `${id}-hint`,
  };
  if (field.type === "checkbox") {
    const box = h("input", { ...common, type: "checkbox", checked: field.value });
    return h("div", { class: "field check" }, h("label", null, box, " ", field.label), hint);
  }
  if (field.type === "checks") return drawChecks(field, hint);
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, field.label),
    control(field, common),
    hint,
  );
}

/**
 * @param {Field} field
 * @param {Record<string, any>} common
 */
function control(field, common) {
  const value = field.value ?? "";
  if (field.type === "textarea") return h("textarea", { ...common, rows: 2, value });
  if (field.type === "select") {
    const options = (field.options ?? []).map((one) =>
      h("option", { value: one.value, selected: one.value === String(value) }, one.label),
    );
    return h("select", common, options);
  }
  const listId = field.suggestions ? `${common.id}-list` : null;
  const { min, max, step, pattern } = field;
  const input = h("input", {
    ...common,
    type: field.type ?? "text",
    min,
    max,
    step,
    pattern,
    list: listId,
    value: field.type === "file" ? null : value,
  });
  if (!field.suggestions) return input;
  const list = h(
    "datalist",
    { id: listId },
    field.suggestions.map((one) => h("option", { value: one })),
  );
  return [input, list];
}

/**
 * @param {Field} field
 * @param {HTMLElement | null} hint
 */
function drawChecks(field, hint) {
  const chosen = new Set(field.value ?? []);
  const boxes = (field.options ?? []).map((one) =>
    h(
      "label",
      null,
      h("input", {
        type: "checkbox",
        name: field.name,
        value: one.value,
        checked: chosen.has(one.value),
      }),
      " ",
      one.label,
    ),
  );
  const none = boxes.length ? null : h("span", { class: "quiet" }, "none there yet");
  return h(
    "fieldset",
    { class: "field checks" },
    h("legend", null, field.label),
    boxes,
    none,
    hint,
  );
}
