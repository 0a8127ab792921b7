/** A quiet wait with a countdown, where the service is busy or away: what was asked is asked again by itself. */

import { find, put } from "./dom.js";

let waits = 0;

/** @param {number} seconds @param {boolean} away whether the service did not answer at all
 * @param {AbortSignal} [signal] @returns {Promise<void>} */
export async function waiting(seconds, away, signal) {
  let until = Date.now() + seconds * 1000;
  const now = () => (until = 0);
  waits += 1;
  if (away) addEventListener("online", now);
  try {
    for (;;) {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0 || signal?.aborted) return;
      show(away ? `The service does not answer. Trying again in ${left} s` : `The service is busy. Trying again in ${left} s`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, until - Date.now())));
    }
  } finally {
    removeEventListener("online", now);
    waits -= 1;
    if (waits === 0) show("");
  }
}

/** @param {string} words */
function show(words) {
  put(find("#waiting", HTMLElement), words);
}
