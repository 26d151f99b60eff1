// @ts-check
/** Signing in, with a password or with a token. */

import { SESSION, send } from "../api.js";
import { h } from "../dom.js";
import { drawFields, readFields } from "../forms.js";
import { heading } from "../parts.js";

/** @type {import("../forms.js").Field[]} */
const PASSWORD = [
  { name: "user", label: "User", required: true, autocomplete: "username", first: true },
  {
    name: "password",
    label: "Password",
    type: "password",
    required: true,
    autocomplete: "current-password",
  },
];
/** @type {import("../forms.js").Field[]} */
const TOKEN = [{ name: "token", label: "Token", type: "password", required: true, first: true }];

/** @type {import("../page.js").View} */
export const signin = {
  title: () => "Sign in",
  still: true,
  load: async () => null,
  draw: (_, context) => {
    const byToken = context.query.by === "token";
    const fields = byToken ? TOKEN : PASSWORD;
    const alert = h("p", { class: "notice bad", role: "alert", hidden: true });
    /** @param {any} event */
    const submit = async (event) => {
      event.preventDefault();
      const form = event.currentTarget;
      const place = form.querySelector("[role=alert]");
      place.hidden = true;
      try {
        await send("POST", SESSION, readFields(form, fields));
        await context.restart();
      } catch (error) {
        place.textContent = /** @type {Error} */ (error).message;
        place.hidden = false;
      }
    };
    return h(
      "div",
      { class: "signin" },
      heading("Sign in"),
      h(
        "form",
        { key: byToken ? "token" : "password", on: { submit } },
        h("div", { class: "fields" }, drawFields(fields)),
        alert,
        h("button", { type: "submit", class: "primary" }, "Sign in"),
      ),
      h(
        "p",
        null,
        h(
          "button",
          {
            type: "button",
            class: "link",
            on: { click: () => context.set({ by: byToken ? null : "token" }) },
          },
          byToken ? "Use a password instead" : "Use a token instead",
        ),
      ),
    );
  },
};
