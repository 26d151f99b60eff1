// @ts-check
/** Creating, changing and deleting packages, and uploading their payloads. */

import { path, query, send, upload } from "../api.js";
import { confirmDialog, formDialog } from "../dialog.js";
import { h } from "../dom.js";
import { PACKAGE_TYPES } from "../words.js";

const COREOS = "1";
const ACTION = [
  "sha256",
  "metadata_size",
  "metadata_signature_rsa",
  "deadline",
  "is_delta",
  "needs_admin",
  "disable_payload_backoff",
];

/**
 * @param {any} app
 * @param {any} one the package, null for a new one
 * @param {boolean} canUpload whether the server keeps payloads
 */
export function editPackage(app, one, canUpload) {
  let id = one?.id;
  return formDialog({
    title: one ? `Edit package ${one.version}` : "New package",
    label: one ? "Save" : "Create",
    fields: [...identity(app, one, canUpload), ...action(one)],
    act: async (values, progress, signal) => {
      const body = packageOf(values);
      // A second try after an upload that broke off must not create the package again.
      const saved = id
        ? await send("PUT", path`apps/${app.id}/packages/${id}`, body)
        : await send("POST", path`apps/${app.id}/packages`, body);
      id = saved?.id ?? id;
      return values.payload
        ? uploaded(path`apps/${app.id}/packages/${id}/payload`, values.payload, progress, signal)
        : saved;
    },
  });
}

/**
 * @param {string} where
 * @param {File} file
 * @param {import("../dialog.js").Progress} progress
 * @param {AbortSignal} signal
 */
async function uploaded(where, file, progress, signal) {
  try {
    return await upload(where + query({ filename: file.name }), file, progress, signal);
  } catch (error) {
    throw new Error(
      `the package is saved, but not its payload: ${/** @type {Error} */ (error).message}`,
    );
  }
}

/**
 * @param {any} app
 * @param {any} one
 */
export function deletePackage(app, one) {
  return confirmDialog({
    title: `Delete package ${one.version}?`,
    text: h("p", null, "Channels that point to it then offer nothing."),
    label: "Delete package",
    act: () => send("DELETE", path`apps/${app.id}/packages/${one.id}`),
  });
}

/**
 * The object to send for a form's values.
 * @param {Record<string, any>} values
 */
function packageOf(values) {
  const { payload, type, ...rest } = values;
  const own = Object.fromEntries(Object.entries(rest).filter(([name]) => !ACTION.includes(name)));
  const coreos = Object.fromEntries(ACTION.map((name) => [name, values[name]]));
  return {
    ...own,
    type: Number(type),
    coreos_action: type === COREOS ? coreos : null,
  };
}

/**
 * @param {any} app
 * @param {any} one
 * @param {boolean} canUpload
 * @returns {import("../forms.js").Field[]}
 */
function identity(app, one, canUpload) {
  const types = Object.entries(PACKAGE_TYPES).map(([value, label]) => ({ value, label }));
  const channels = (app.channels ?? []).map((/** @type {any} */ channel) => ({
    value: channel.id,
    label: channel.name,
  }));
  /** @type {import("../forms.js").Field[]} */
  const file = canUpload
    ? [
        {
          name: "payload",
          label: "Payload",
          type: "file",
          hint: "Uploaded to this server, which then fills in URL, file name, size and hashes.",
        },
      ]
    : [];
  return [
    { name: "type", label: "Type", type: "select", value: one?.type ?? COREOS, options: types },
    {
      name: "version",
      label: "Version",
      value: one?.version,
      required: true,
      hint: "A semantic version, such as 1185.3.0.",
    },
    { name: "description", label: "Description", value: one?.description },
    ...file,
    {
      name: "url",
      label: "URL",
      value: one?.url,
      hint: "The directory where machines find the file.",
    },
    { name: "filename", label: "File name", value: one?.filename },
    { name: "size", label: "Size (bytes)", value: one?.size, pattern: "[0-9]*" },
    { name: "hash", label: "SHA-1 (base64)", value: one?.hash },
    {
      name: "channels_blacklist",
      label: "Never offered on",
      type: "checks",
      value: one?.channels_blacklist,
      options: channels,
    },
  ];
}

/**
 * @param {any} one
 * @returns {import("../forms.js").Field[]}
 */
function action(one) {
  const value = one?.coreos_action ?? { disable_payload_backoff: true };
  return [
    { name: "sha256", label: "SHA-256 (base64)", value: value.sha256, advanced: true },
    { name: "metadata_size", label: "Metadata size", value: value.metadata_size, advanced: true },
    {
      name: "metadata_signature_rsa",
      label: "Metadata signature",
      value: value.metadata_signature_rsa,
      advanced: true,
    },
    { name: "deadline", label: "Deadline", value: value.deadline, advanced: true },
    {
      name: "is_delta",
      label: "Delta payload",
      type: "checkbox",
      value: value.is_delta,
      advanced: true,
    },
    {
      name: "needs_admin",
      label: "Needs an administrator",
      type: "checkbox",
      value: value.needs_admin,
      advanced: true,
    },
    {
      name: "disable_payload_backoff",
      label: "Clients try again without back-off",
      type: "checkbox",
      value: value.disable_payload_backoff,
      advanced: true,
    },
  ];
}
