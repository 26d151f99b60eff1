// @ts-check
/** Addresses of views: `#/apps/ID/groups/ID?page=2` to a name with parameters, and back. */

/**
 * @typedef {{name: string, params: Record<string, string>, query: Record<string, string>}} Route
 */

/** Patterns of the views; a word with a colon is a parameter. */
const PATTERNS = {
  overview: "",
  apps: "apps",
  app: "apps/:app",
  group: "apps/:app/groups/:group",
  instances: "apps/:app/groups/:group/instances",
  instance: "apps/:app/groups/:group/instances/:instance",
  activity: "activity",
  locks: "locks",
  search: "search",
  account: "account",
  users: "users",
  signin: "sign-in",
};

/**
 * The route an address's hash stands for; `missing` if there is no such view.
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const [place, search] = split(hash.replace(/^#\/?/, ""));
  const words = place.split("/").filter(Boolean);
  const query = Object.fromEntries(new URLSearchParams(search));
  for (const [name, pattern] of Object.entries(PATTERNS)) {
    const params = match(pattern.split("/").filter(Boolean), words);
    if (params) return { name, params, query };
  }
  return { name: "missing", params: { place: decoded(place) }, query };
}

/**
 * The hash of a view.
 * @param {string} name
 * @param {Record<string, string>} [params]
 * @param {Record<string, string | number | null | undefined>} [query]
 */
export function href(name, params = {}, query = {}) {
  const pattern = PATTERNS[/** @type {"apps"} */ (name)];
  const place = pattern.replace(/:(\w+)/g, (_, word) => encodeURIComponent(params[word]));
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `#/${place}${search ? `?${search}` : ""}`;
}

/** @param {string} text */
function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * @param {string[]} pattern
 * @param {string[]} words
 * @returns {Record<string, string> | null}
 */
function match(pattern, words) {
  if (pattern.length !== words.length) return null;
  /** @type {Record<string, string>} */
  const params = {};
  for (const [at, word] of pattern.entries()) {
    if (word.startsWith(":")) params[word.slice(1)] = decoded(words[at]);
    else if (word !== words[at]) return null;
  }
  return params;
}

/** @param {string} word */
function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}
