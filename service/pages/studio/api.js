/**
 * Requests to the service: the key, its errors, and a quiet wait where it is overloaded.
 *
 * @typedef {object} Asked
 * @property {string} [method]
 * @property {unknown} [json] the body, as JSON
 * @property {BodyInit} [body] or as it is
 * @property {string} [target] the target's name, for a proxy that sends it to the replica which knows the target
 * @property {AbortSignal} [signal]
 * @property {boolean} [patient] whether to wait and ask again where the service is busy or away (yes)
 */

import { key, keyAsked, session } from "./access.js";
import { waiting } from "./waiting.js";

/** Where the service is: the folder that the page lies in. */
const BASE = new URL(".", document.baseURI);
const TRIES = 8; // where the service says why it cannot; one that is away is waited for without end
const AWAY_SECONDS = [2, 2, 4, 8, 10];
const AWAY = new Set([0, 502]);
const BUSY = new Set([429, 503]);

/** What the service says is wrong (problem+json), or that it did not answer. */
export class Problem extends Error {
  /** @param {number} status @param {string} type @param {string} detail
   * @param {{pointer: string, detail: string}[]} errors @param {number | null} retryAfter seconds */
  constructor(status, type, detail, errors = [], retryAfter = null) {
    super(detail);
    this.status = status;
    this.type = type;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }

  /** @param {string} kind such as `bad-images` */
  is(kind) {
    return this.type.endsWith(`:${kind}`);
  }
}

/** An answer of 2xx. Raises `Problem`; asks again where the service is busy, and for a key where it wants one.
 * @param {string} path @param {Asked} [asked] @returns {Promise<Response>} */
export async function ask(path, asked = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await once(path, asked);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401 && session() === null) {
        await keyAsked(error.message);
      } else if (asked.patient !== false && (AWAY.has(error.status) || (tried < TRIES && BUSY.has(error.status)))) {
        const pause = AWAY_SECONDS[Math.min(tried, AWAY_SECONDS.length) - 1] ?? 0;
        await waiting(error.retryAfter ?? pause, AWAY.has(error.status), asked.signal);
      } else {
        throw error;
      }
    }
  }
}

/** The JSON of an answer. @param {string} path @param {Asked} [asked] @returns {Promise<any>} */
export async function askJson(path, asked = {}) {
  return (await ask(path, asked)).json();
}

/** @param {string} path @param {Asked} asked */
async function once(path, asked) {
  const headers = new Headers(access());
  if (asked.json !== undefined) headers.set("content-type", "application/json");
  if (asked.target !== undefined) headers.set("x-target-hash", asked.target.replace("sha256:", ""));
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), {
      method: asked.method ?? "GET",
      headers,
      body: asked.json !== undefined ? JSON.stringify(asked.json) : asked.body,
      signal: asked.signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (asked.signal?.aborted) throw error;
    await checkReadable(asked.body);
    throw new Problem(0, "", "the service does not answer; is it running?");
  }
  if (answer.ok) return answer;
  throw await problemOf(answer);
}

/** Raises a problem at each file that has changed or gone since it was taken in: browsers refuse to send it, and say
 * no more of it than where the service is away. @param {BodyInit | undefined} body */
async function checkReadable(body) {
  if (!(body instanceof FormData)) return;
  const gone = "this file has changed or gone since it was taken in: add it again";
  /** @type {{pointer: string, detail: string}[]} */
  const errors = [];
  for (const field of new Set(body.keys())) {
    for (const [place, part] of body.getAll(field).entries()) {
      if (!(part instanceof File)) continue;
      const readable = await part.slice(0, 1).arrayBuffer().then(() => true, () => false);
      if (!readable) errors.push({ pointer: field === "candidates" ? `/candidates/${place}` : `/${field}`, detail: gone });
    }
  }
  if (errors.length > 0) throw new Problem(422, "", gone, errors);
}

/** What opens the service for this tab. */
function access() {
  const open = session();
  /** @type {Record<string, string>} */
  const headers = {};
  if (open !== null) headers["x-session-token"] = encodeURIComponent(open.token); // tokens need none of it; what a damaged link has may
  const bearer = key();
  if (bearer !== null) headers["authorization"] = `Bearer ${bearer}`;
  return headers;
}

/** @param {Response} answer */
async function problemOf(answer) {
  const after = Number(answer.headers.get("retry-after"));
  try {
    const { type, detail, title, errors } = await answer.json();
    return new Problem(answer.status, type ?? "", detail ?? title, errors ?? [], after || null);
  } catch {
    return new Problem(answer.status, "", `the service answered ${answer.status}`, [], after || null);
  }
}
