/**
 * Server-sent events, read through fetch: an EventSource can send no header, and a token in an address ends in logs.
 *
 * @typedef {{id: string, event: string, data: string}} Sent
 */

import { ask, Problem } from "./api.js";

const FIRST_SECONDS = 0.5;
const LONGEST_SECONDS = 10;
const SILENCE_SECONDS = 45; // the service says something every 15: a connection that is silent for longer is dead

/** Watch for ever. A lost connection is made again from the last event on, so that none is missed.
 * @param {string} path @param {number} after the revision that is known
 * @param {(event: Sent) => void} tell @param {(live: boolean) => void} live @returns {Promise<void>} ends where there is nothing any more to watch */
export async function watch(path, after, tell, live) {
  let last = String(after);
  let pause = FIRST_SECONDS;
  for (;;) {
    const dead = new AbortController();
    try {
      const answer = await ask(`${path}?after=${encodeURIComponent(last)}`, { signal: dead.signal, patient: false });
      live(true);
      for await (const event of read(answer, dead)) {
        pause = FIRST_SECONDS;
        if (event.id) last = event.id;
        if (event.data) tell(event);
      }
    } catch (error) {
      if (error instanceof Problem && [401, 403, 404].includes(error.status)) throw error;
    }
    live(false);
    await new Promise((resolve) => setTimeout(resolve, pause * 1000 * (0.75 + Math.random() / 2)));
    pause = Math.min(pause * 2, LONGEST_SECONDS);
  }
}

/** @param {Response} answer @param {AbortController} dead @returns {AsyncGenerator<Sent>} */
async function* read(answer, dead) {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  let rest = "";
  for (;;) {
    const silence = setTimeout(() => dead.abort(), SILENCE_SECONDS * 1000);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) yield parse(block);
  }
}

/** One event: lines of `field: value`; a line that begins with a colon is a comment. @param {string} block @returns {Sent} */
export function parse(block) {
  /** @type {Sent} */
  const sent = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") sent.data += (sent.data ? "\n" : "") + value;
    else if (field === "id" || field === "event") sent[field] = value;
  }
  return sent;
}
