// @ts-check
/** For addresses that no view has. */

import { h } from "../dom.js";
import { heading } from "../parts.js";
import { href } from "../router.js";

/** @type {import("../page.js").View} */
export const missing = {
  title: () => "Not found",
  still: true,
  load: async () => ({}),
  draw: (_, context) => [
    heading("Not found"),
    h(
      "p",
      null,
      "There is no page “",
      context.params.place,
      "”. ",
      h("a", { href: href("overview") }, "Go to the overview"),
      ".",
    ),
  ],
};
