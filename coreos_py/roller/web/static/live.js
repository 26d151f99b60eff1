// @ts-check
/**
 * Hearing of changes: the server's event stream, and a poll whenever that is not there.
 *
 * Only pages that are seen listen: a browser has six connections to a server, and every stream of
 * every tab keeps one of them.
 */

import { address } from "./api.js";

const POLL_MS = 5_000;
const AGAIN_MS = 5_000;

/**
 * @typedef {{kinds?: string[], app?: string}} Change
 */

/** Calls `onChange` with what has changed, or with {} when it has to be looked up. */
export class Live {
  /** @param {(change: Change) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {EventSource | null} */
    this.source = null;
    this.again = 0;
    this.wanted = false;
    setInterval(() => this.poll(), POLL_MS);
    document.addEventListener("visibilitychange", () => this.follow());
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.follow());
  }

  get streaming() {
    return this.source?.readyState === EventSource.OPEN;
  }

  /** Listen, anew if need be; after signing in, for example. */
  start() {
    this.wanted = true;
    this.close();
    this.follow();
  }

  /** Listen no longer. */
  stop() {
    this.wanted = false;
    this.close();
  }

  /** Listen if that is wanted and the page is seen. */
  follow() {
    if (!this.wanted || document.hidden) this.close();
    else if (!this.source) this.open();
  }

  open() {
    const source = new EventSource(address("stream"));
    source.addEventListener("open", () => this.onChange({}));
    source.addEventListener("change", (event) => this.onChange(read(event.data)));
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED || source !== this.source) return;
      this.again = setTimeout(() => this.start(), AGAIN_MS);
    });
    this.source = source;
  }

  close() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
  }

  poll() {
    if (this.source && !this.streaming && !document.hidden) this.onChange({});
  }
}

/**
 * @param {string} text
 * @returns {Change}
 */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
