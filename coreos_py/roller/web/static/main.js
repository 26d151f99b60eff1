// @ts-check
/** Starts the dashboard: who is signed in, which view the address names, news from the server. */

import { Failure, get, watchSession } from "./api.js";
import { closeDialogs } from "./dialog.js";
import { setServerTime, tick } from "./format.js";
import { drawFoot, drawTop, listenForSearchKey } from "./frame.js";
import { Live } from "./live.js";
import { Page } from "./page.js";
import { href, parse } from "./router.js";
import { account } from "./views/account.js";
import { activity } from "./views/activity.js";
import { app } from "./views/app.js";
import { apps } from "./views/apps.js";
import { group } from "./views/group.js";
import { instance } from "./views/instance.js";
import { instances } from "./views/instances.js";
import { locks } from "./views/locks.js";
import { missing } from "./views/missing.js";
import { overview } from "./views/overview.js";
import { search } from "./views/search.js";
import { signin } from "./views/signin.js";
import { users } from "./views/users.js";

const TICK_MS = 1000;
/** @type {Record<string, import("./page.js").View>} */
const VIEWS = {
  account,
  activity,
  app,
  apps,
  group,
  instance,
  instances,
  locks,
  missing,
  overview,
  search,
  signin,
  users,
};
const NOBODY = {
  title: "Updates",
  user: "",
  role: "",
  anonymous_read: false,
  locks: false,
  payloads: false,
};

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

let config = /** @type {any} */ (NOBODY);
/** The place that is shown, without its query. */
let shown = "";
/** What the address names is not for everybody, though other views may be. */
let mustSignIn = false;

const page = new Page({
  main: element("main"),
  banner: element("banner"),
  onDrawn: (view, context) => drawFoot(element("foot"), config, view.twin?.(context) ?? null),
  onSignedOut: () => {
    mustSignIn = true;
    restart();
  },
});
const live = new Live((change) => {
  if (!change.app || !page.context?.params.app || change.app === page.context.params.app)
    page.poke();
});

/** Begin anew: who is signed in, and show what the address names. */
async function restart() {
  if (!(await learn())) return;
  shown = "";
  await go();
}

/** Ask the server who is signed in and what it can do; false if it does not say. */
async function learn() {
  try {
    config = { ...NOBODY, ...(await get("config")) };
  } catch (error) {
    const isRefused = error instanceof Failure && error.status === 401;
    if (!isRefused && config === NOBODY) {
      failedToStart(error);
      return false;
    }
    config = isRefused ? { ...NOBODY, title: config.title } : config;
  }
  setServerTime(config.now);
  mustSignIn &&= !config.user;
  if (config.user || config.anonymous_read) live.start();
  else live.stop();
  return true;
}

/** Show what the address names. */
async function go() {
  const route = parse(location.hash);
  const isIn = config.user || (config.anonymous_read && !mustSignIn);
  if (config.user && route.name === "signin") {
    location.replace(href("overview"));
    return;
  }
  const name = isIn ? route.name : "signin";
  const place = `${name} ${JSON.stringify(route.params)}`;
  const keep = place === shown;
  // A dialog may hold what somebody has typed when the session ends.
  if (!keep && name !== "signin") closeDialogs();
  shown = place;
  drawTop(element("top"), config, name);
  await page.show(VIEWS[name], contextOf(route), { keep });
}

/**
 * @param {import("./router.js").Route} route
 * @returns {import("./page.js").Context}
 */
function contextOf({ name, params, query }) {
  return {
    config,
    params,
    query,
    canWrite: config.role === "admin",
    set: (change) => {
      location.hash =
        name === "missing" ? location.hash : href(name, params, { ...query, ...change });
    },
    reload: () => page.load(),
    redraw: () => page.redraw(),
    announce: (text) => {
      element("announcer").textContent = text;
    },
    restart,
  };
}

/** @param {unknown} error */
function failedToStart(error) {
  drawTop(element("top"), config, "");
  const text = error instanceof Error ? error.message : String(error);
  element("main").textContent =
    `The dashboard cannot start: ${text}. It tries again every few seconds.`;
  setTimeout(restart, 5 * TICK_MS);
}

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  element("main").focus();
});
addEventListener("hashchange", () => {
  mustSignIn = false;
  go();
});
watchSession(async () => {
  if (!(await learn())) return;
  if (!config.user && !config.anonymous_read) {
    await go();
    return;
  }
  const route = parse(location.hash);
  drawTop(element("top"), config, route.name);
  page.adopt(contextOf(route));
});
setInterval(tick, TICK_MS);
listenForSearchKey();
restart();
