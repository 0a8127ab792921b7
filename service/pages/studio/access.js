/** What opens the service: an API key, kept for this tab alone, or the token of a session that a link has brought. */

import { find, h, put } from "./dom.js";

const KEPT = "clpips-key";

/** @type {{id: string, token: string} | null} */
let opened = null;
/** @type {Promise<void> | null} */
let asking = null;

/** The API key that was given in this tab. @returns {string | null} */
export function key() {
  return sessionStorage.getItem(KEPT);
}

/** @returns {{id: string, token: string} | null} */
export function session() {
  return opened;
}

/** Take the session out of the address, `#session=…&token=…`: the fragment of an address is never sent, and what is
 * taken out of it is not seen over a shoulder. A reload finds it in the tab. */
export function sessionFromAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  const id = named.get("session");
  const token = named.get("token");
  if (id !== null && token !== null) {
    sessionStorage.setItem("clpips-session", JSON.stringify({ id, token }));
    history.replaceState(null, "", `#session=${encodeURIComponent(id)}`);
  }
  const kept = sessionStorage.getItem("clpips-session");
  const found = kept === null ? null : JSON.parse(kept);
  if (id !== null && found?.id === id) opened = found;
  return opened;
}

/** Forget the session that a link has brought. */
export function leaveSession() {
  sessionStorage.removeItem("clpips-session");
}

/** Ask for a key, at the top of the page, and wait for it; whoever asks meanwhile waits for the same.
 * @param {string} why @returns {Promise<void>} */
export function keyAsked(why) {
  asking ??= new Promise((resolve) => {
    const box = find("#key", HTMLElement);
    const had = key() !== null;
    sessionStorage.removeItem(KEPT);
    const input = h("input", { id: "key-input", type: "password", autocomplete: "off", required: true, pattern: "\\s*[\\x21-\\x7e]+\\s*", title: "Keys have no spaces, and no letters beyond ASCII", "aria-describedby": "key-why" });
    const form = h(
      "form",
      {
        class: "key",
        onsubmit: (event) => {
          event.preventDefault();
          sessionStorage.setItem(KEPT, input.value.trim());
          put(box);
          asking = null;
          resolve();
        },
      },
      h("label", { for: "key-input" }, had ? "Another API key" : "API key"),
      input,
      h("button", { class: "primary" }, "Open"),
      h("p", { id: "key-why" }, had ? `${why}.` : "This service asks for a key. It stays in this tab, and goes with it."),
    );
    put(box, form);
    input.focus();
  });
  return asking;
}
