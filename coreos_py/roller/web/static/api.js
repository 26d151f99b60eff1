// @ts-check
/** Talking to the server's /api: JSON both ways, failures as one sentence. */

const REFUSALS = {
  400: "the server does not accept this",
  401: "not signed in",
  403: "not allowed for this account",
  404: "not found",
  409: "this is in conflict with what is there already",
  413: "this is too large",
  503: "the server is busy, try again",
};
/** Where one signs in and out. */
export const SESSION = "session";
let onStranger = () => {};
/** Above this many milliseconds an answer is given up; uploads have their own life. */
const PATIENCE_MS = 30_000;

/** A request that did not work; `status` is 0 when the server was not reached at all. */
export class Failure extends Error {
  /**
   * @param {number} status
   * @param {string} text
   */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * A path below /api, each value escaped: path`apps/${id}/groups`.
 * @param {TemplateStringsArray} words
 * @param {...(string | number)} values
 */
export function path(words, ...values) {
  return words.reduce((text, word, at) => text + encodeURIComponent(String(values[at - 1])) + word);
}

/**
 * `?name=value&…` of what is set, "" of nothing.
 * @param {Record<string, string | number | null | undefined>} values
 */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value != null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

/**
 * The address of a path, for links.
 * @param {string} where
 */
export function address(where) {
  return new URL(`api/${where}`, document.baseURI).href;
}

/**
 * What a path shows.
 * @param {string} where
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(where, signal) {
  return (await request("GET", where, { signal })).data;
}

/**
 * One page of a list, and how many there are in all.
 * @param {string} where
 * @param {AbortSignal} [signal]
 * @returns {Promise<{rows: any[], total: number}>}
 */
export async function list(where, signal) {
  const { data, total } = await request("GET", where, { signal });
  const rows = data ?? [];
  return { rows, total: total ?? rows.length };
}

/**
 * What a path shows, null where there is none.
 * @param {string} where
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function find(where, signal) {
  try {
    return await get(where, signal);
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return null;
    throw error;
  }
}

/**
 * Change something; the answer is what the server made of it.
 * @param {"POST" | "PUT" | "DELETE"} method
 * @param {string} where
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function send(method, where, body) {
  try {
    return (await request(method, where, { body: body ?? {} })).data;
  } catch (error) {
    if (error instanceof Failure && error.status === 401 && where !== SESSION) onStranger();
    throw error;
  }
}

/**
 * Be told when a change was refused because nobody is signed in any more.
 * @param {() => void} callback
 */
export function watchSession(callback) {
  onStranger = callback;
}

/**
 * Send a file, telling how far it is; fetch cannot tell.
 * @param {string} where
 * @param {File} file
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export function upload(where, file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", address(where));
    sending.setRequestHeader("Accept", "application/json");
    sending.setRequestHeader("Content-Type", "application/octet-stream");
    sending.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 0);
    sending.onerror = () => reject(new Failure(0, "the connection broke off"));
    sending.onabort = () => reject(new Failure(0, "stopped"));
    sending.onload = () => {
      if (sending.status < 300) resolve(parsed(sending.responseText));
      else reject(new Failure(sending.status, refusal(sending.status, sending.responseText)));
    };
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}

/**
 * @param {string} method
 * @param {string} where
 * @param {{body?: unknown, signal?: AbortSignal}} options
 */
async function request(method, where, { body, signal }) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signals = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])];
  /** @type {Response} */
  let reply;
  let text = "";
  try {
    reply = await fetch(address(where), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any(signals),
      credentials: "same-origin",
      cache: "no-store",
    });
    text = await reply.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(0, "the server cannot be reached");
  }
  if (!reply.ok) throw new Failure(reply.status, refusal(reply.status, text));
  const total = reply.headers.get("X-Total-Count");
  return { data: parsed(text), total: total === null ? null : Number(total) };
}

/** @param {string} text */
function parsed(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure(0, "the answer is not JSON: is this the right server?");
  }
}

/**
 * What a refusal says: the server's own reason if it gave one.
 * @param {number} status
 * @param {string} text
 */
function refusal(status, text) {
  let reason = "";
  try {
    reason = String(JSON.parse(text).error ?? "");
  } catch {
    // What takes uploads answers with a line of text, proxies with pages.
    reason = text.length < 300 && !text.includes("<") ? text.trim() : "";
  }
  return reason || (REFUSALS[/** @type {400} */ (status)] ?? `the server answered ${status}`);
}
