// @ts-check
/**
 * The view that is shown: loaded, drawn, kept up to date, and marked as stale when it is not.
 *
 * A failed load never empties a page; what was there stays under a banner that tells its age.
 */

import { Failure } from "./api.js";
import { h, morphChildren } from "./dom.js";
import { duration } from "./format.js";

/** A reload waits this many times as long as the last one took, so that no page loads all the time. */
const REST_FACTOR = 3;
const REST_MIN_MS = 300;
/** How soon something that has failed is tried again. */
const AGAIN_MS = 2000;

/**
 * @typedef {import("./router.js").Route} Route
 * @typedef {{
 *   config: any,
 *   params: Record<string, string>,
 *   query: Record<string, string>,
 *   canWrite: boolean,
 *   set: (query: Record<string, string | number | null>) => void,
 *   reload: () => Promise<void>,
 *   redraw: () => void,
 *   announce: (text: string) => void,
 *   restart: () => Promise<void>,
 * }} Context `set` changes the address's query, `restart` asks the server anew who is signed in
 * @typedef {{
 *   title: (data: any, context: Context) => string,
 *   load: (context: Context, signal: AbortSignal) => Promise<any>,
 *   draw: (data: any, context: Context) => any,
 *   twin?: (context: Context) => string,
 *   news?: (data: any, before: any) => string,
 *   still?: boolean,
 * }} View `twin`: the path below /api with the same content; `news`: what to tell people who do not
 *   see the page; `still`: changes elsewhere do not matter
 */

export class Page {
  /**
   * @param {{main: HTMLElement, banner: HTMLElement, onDrawn: (view: View, context: Context) => void,
   *   onSignedOut: () => void}} parts
   */
  constructor({ main, banner, onDrawn, onSignedOut }) {
    this.main = main;
    this.banner = banner;
    this.onDrawn = onDrawn;
    this.onSignedOut = onSignedOut;
    /** @type {View | null} */
    this.view = null;
    /** @type {Context | null} */
    this.context = null;
    this.data = /** @type {any} */ (undefined);
    this.loaded_ms = 0;
    this.problem = "";
    this.stop = new AbortController();
    this.busy = false;
    this.wanted = false;
    /** The last load failed, but the next one may not. */
    this.hopeful = false;
    this.timer = 0;
    /** Loads are numbered, so that an earlier one that ends later is not drawn. */
    this.turn = 0;
    this.drawn = 0;
    setInterval(() => this.tellAge(), 1000);
  }

  /**
   * Show a view. `keep`: the same one with another query, whose content stays until the new is there.
   * @param {View} view
   * @param {Context} context
   * @param {{keep: boolean}} options
   */
  async show(view, context, { keep }) {
    this.stop.abort();
    this.stop = new AbortController();
    clearTimeout(this.timer);
    this.timer = 0;
    this.busy = false;
    this.wanted = false;
    this.view = view;
    this.context = context;
    if (!keep) {
      this.data = undefined;
      this.setProblem("");
      this.main.replaceChildren(h("p", { class: "quiet loading" }, "Loading…"));
    }
    await this.load();
    if (!keep && this.context === context) this.focusHeading();
  }

  /**
   * The same view for somebody else.
   * @param {Context} context
   */
  adopt(context) {
    this.context = context;
    this.redraw();
  }

  /** Something has changed: load again, soon. */
  poke() {
    if (!this.view || this.view.still) return;
    if (this.busy || this.timer) {
      this.wanted = true;
      return;
    }
    this.load();
  }

  /** Load and draw. */
  async load() {
    const { view, context, stop } = this;
    if (!view || !context) return;
    this.busy = true;
    const turn = ++this.turn;
    const started = performance.now();
    try {
      const data = await view.load(context, stop.signal);
      if (!stop.signal.aborted && turn > this.drawn) this.take(data, turn);
    } catch (error) {
      if (!stop.signal.aborted && turn > this.drawn) this.failed(error);
    }
    if (!stop.signal.aborted) this.rest(performance.now() - started);
  }

  /**
   * Draw what has come.
   * @param {any} data
   * @param {number} turn
   */
  take(data, turn) {
    this.drawn = turn;
    this.hopeful = false;
    const news = this.data === undefined ? "" : (this.view?.news?.(data, this.data) ?? "");
    this.data = data;
    this.loaded_ms = Date.now();
    this.setProblem("");
    this.redraw();
    if (news) this.context?.announce(news);
  }

  /**
   * Leave the server alone for a while after a load that took so long.
   * @param {number} took_ms
   */
  rest(took_ms) {
    this.busy = false;
    this.wanted ||= this.hopeful;
    clearTimeout(this.timer);
    const rest_ms = this.hopeful ? AGAIN_MS : Math.max(REST_MIN_MS, REST_FACTOR * took_ms);
    this.timer = setTimeout(() => this.rested(), rest_ms);
  }

  /** Draw what is loaded. */
  redraw() {
    const { view, context, data } = this;
    if (!view || !context || data === undefined) return;
    const had = document.activeElement;
    const inside = this.main.contains(had);
    document.title = `${view.title(data, context)} · ${context.config.title}`;
    morphChildren(this.main, [h("div", { class: "view" }, view.draw(data, context))]);
    if (inside && had && !this.main.contains(had)) this.main.focus({ preventScroll: true });
    this.onDrawn(view, context);
  }

  rested() {
    this.timer = 0;
    if (!this.wanted) return;
    this.wanted = false;
    this.load();
  }

  /** @param {unknown} error */
  failed(error) {
    if (error instanceof Failure && error.status === 401) {
      this.onSignedOut();
      return;
    }
    if (!(error instanceof Failure)) console.error(error);
    this.hopeful = error instanceof Failure && (error.status === 0 || error.status >= 500);
    const text = error instanceof Error ? error.message : String(error);
    const isGone = error instanceof Failure && error.status === 404;
    if (this.data !== undefined && !isGone) {
      this.setProblem(text);
      return;
    }
    this.data = undefined;
    document.title = `${isGone ? "Not found" : "Not loaded"} · ${this.context?.config.title ?? ""}`;
    const again = h("button", { type: "button", on: { click: () => this.load() } }, "Try again");
    this.main.replaceChildren(
      h("h1", { tabindex: -1 }, isGone ? "Not found" : "Not loaded"),
      h(
        "p",
        { class: "notice bad", role: "alert" },
        isGone
          ? "There is nothing at this address, or not any more."
          : `This could not be loaded: ${text}.`,
      ),
      h("p", null, again),
    );
  }

  /** @param {string} problem */
  setProblem(problem) {
    this.problem = problem;
    this.main.classList.toggle("stale", Boolean(problem));
    if (!problem) this.banner.replaceChildren();
    else if (!this.banner.firstChild) {
      const age = h("span", { class: "age", "aria-live": "off" });
      this.banner.append(
        h(
          "p",
          { class: "notice wait" },
          h("b", null, "Stale. "),
          h("span", { class: "why" }),
          " Shown is what was true ",
          age,
          ".",
        ),
      );
    }
    const why = this.banner.querySelector(".why");
    if (why) why.textContent = `${problem.charAt(0).toUpperCase()}${problem.slice(1)}.`;
    this.tellAge();
  }

  tellAge() {
    const age = this.banner.querySelector(".age");
    if (age) age.textContent = `${duration((Date.now() - this.loaded_ms) / 1000)} ago`;
  }

  focusHeading() {
    const heading = this.main.querySelector("h1");
    if (!heading || document.querySelector("dialog[open]")) return;
    // Somebody types already, in the search box.
    if (document.activeElement?.matches("input") && !this.main.contains(document.activeElement))
      return;
    const wish = this.main.querySelector("[data-focus]");
    /** @type {HTMLElement} */ (wish ?? heading).focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}
