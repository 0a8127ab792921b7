/** What is said aloud: one polite live region for all that moves, emptied first so that the same words are said twice. */

import { find } from "./dom.js";

/** @type {ReturnType<typeof setTimeout> | undefined} */
let pending;

/** @param {string} words */
export function announce(words) {
  const region = find("#spoken", HTMLElement);
  region.textContent = "";
  clearTimeout(pending);
  pending = setTimeout(() => {
    region.textContent = words;
  }, 60);
}
