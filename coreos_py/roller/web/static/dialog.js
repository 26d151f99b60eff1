// @ts-check
/** Dialogs: a form, or a question before something that cannot be undone. */

import { h } from "./dom.js";
import { drawFields, readFields } from "./forms.js";

/**
 * @typedef {(share: number) => void} Progress
 * @typedef {import("./forms.js").Field} Field
 */

/**
 * Ask for values and do something with them; a failure is shown and the dialog stays.
 * @param {{
 *   title: string,
 *   intro?: any,
 *   fields: Field[],
 *   label: string,
 *   danger?: boolean,
 *   act: (values: Record<string, any>, progress: Progress, signal: AbortSignal) => Promise<any>,
 * }} options
 * @returns {Promise<any>} what `act` has returned, undefined if it was called off
 */
export function formDialog({ title, intro, fields, label, danger = false, act }) {
  if (document.querySelector("dialog[open]")) return Promise.resolve(undefined); // a double click
  return new Promise((resolve) => {
    const stop = new AbortController();
    let result = /** @type {any} */ (undefined);
    const alert = h("p", { class: "notice bad", role: "alert", hidden: true });
    const meter = /** @type {HTMLProgressElement} */ (
      h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Upload" })
    );
    const cancel = h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel");
    const submit = /** @type {HTMLButtonElement} */ (
      h("button", { type: "submit", class: danger ? "danger" : "primary" }, label)
    );
    const heading = h("h2", { id: "dialog-title" }, title);
    const form = /** @type {HTMLFormElement} */ (
      h(
        "form",
        { on: { submit: (/** @type {Event} */ event) => run(event) } },
        heading,
        intro && h("div", { class: "intro" }, intro),
        h("div", { class: "fields" }, drawFields(fields)),
        alert,
        meter,
        h("div", { class: "buttons" }, cancel, submit),
      )
    );
    const dialog = /** @type {HTMLDialogElement} */ (
      h("dialog", { "aria-labelledby": "dialog-title", on: { close: () => finish() } }, form)
    );

    /** @type {Progress} */
    const progress = (share) => {
      meter.hidden = false;
      meter.value = share;
    };
    const run = async (/** @type {Event} */ event) => {
      event.preventDefault();
      submit.disabled = true;
      alert.hidden = true;
      try {
        result = (await act(readFields(form, fields), progress, stop.signal)) ?? true;
        dialog.close();
      } catch (error) {
        alert.textContent = sentence(error);
        alert.hidden = false;
        meter.hidden = true;
        submit.disabled = false;
      }
    };
    const finish = () => {
      stop.abort();
      dialog.remove();
      resolve(result);
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Ask before doing something.
 * @param {{title: string, text: any, label: string, act: () => Promise<any>}} options
 */
export function confirmDialog({ title, text, label, act }) {
  return formDialog({ title, intro: text, fields: [], label, danger: true, act });
}

/**
 * Show something that can be seen only now.
 * @param {{title: string, content: any}} options
 */
export function showDialog({ title, content }) {
  const close = h(
    "button",
    { type: "button", class: "primary", on: { click: () => dialog.close() } },
    "Done",
  );
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      "dialog",
      { "aria-labelledby": "dialog-title", on: { close: () => dialog.remove() } },
      h("h2", { id: "dialog-title" }, title),
      content,
      h("div", { class: "buttons" }, close),
    )
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** Close whatever is open: the page behind it has gone. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/** @param {unknown} error */
function sentence(error) {
  const text = error instanceof Error ? error.message : String(error);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, ".");
}
