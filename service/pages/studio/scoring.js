/**
 * The page's own pictures → the metric's order: what is new is sent as it is, a few pictures at a time; what the
 * service has seen is named by hash.
 *
 * @typedef {import("./types.js").Shot} Shot
 * @typedef {import("./types.js").Scored} Scored
 * @typedef {import("./store.js").Store} Store
 */

import { askJson, Problem } from "./api.js";
import { following, orderOf } from "./order.js";
import { metricOrder } from "./store.js";

const BATCH_IMAGES = 12;
const FIRST_BYTES = 5 * 2 ** 20; // the others wait for these, which bring the target
const BATCH_BYTES = 8 * 2 ** 20; // a large picture or a few: some are on their way while others are scored
const SENDERS = 2; // requests at a time: one is sent while another is scored

export class Scoring {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    /** @type {Promise<void> | null} */
    this.running = null;
    this.stale = false;
  }

  /** Score what is not, and rank all; one run at a time, which begins again where something changed meanwhile. */
  score() {
    this.stale = true;
    this.running ??= this.run().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  async run() {
    while (this.stale) {
      this.stale = false;
      const { target } = this.store.state;
      if (target === null || target.fault !== null) return;
      const batches = inBatches(this.store.state.shots.filter((shot) => shot.sha === null && shot.fault === null));
      await this.sendAll(batches);
      const whole = usable(this.store.state.shots);
      if (whole.length === 0 || this.stale) continue;
      if (this.store.state.target?.sha == null) await this.send(whole); // another target: its bytes, and their names
      await this.rankAll(whole);
    }
  }

  /** @param {Shot[][]} batches */
  async sendAll(batches) {
    const first = batches.shift();
    if (first === undefined) return;
    await this.send(first); // it brings the target; the others name it
    const senders = Array.from({ length: SENDERS }, async () => {
      for (let batch = batches.shift(); batch !== undefined && !this.stale; batch = batches.shift()) await this.send(batch);
    });
    await Promise.all(senders);
  }

  /** Send these; those that cannot be used are told so at their places. @param {Shot[]} batch */
  async send(batch) {
    let rest = batch;
    while (rest.length > 0) {
      const target = this.store.state.target;
      if (target === null) return;
      const form = new FormData();
      form.append("profile", this.store.state.profile.name);
      append(form, "target", target);
      for (const shot of rest) append(form, "candidates", shot);
      try {
        const reply = await askJson("rank", { method: "POST", body: form });
        if (this.store.state.target?.id === target.id) this.take(rest, reply);
        return;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        rest = this.blame(error, target, rest);
      }
    }
  }

  /** Rank pictures that the service has seen, by their names. @param {Shot[]} shots @returns {Promise<string | null>} */
  async rankAll(shots) {
    const target = this.store.state.target;
    const { name } = this.store.state.profile;
    if (target?.sha == null) return null;
    try {
      const json = { profile: name, target: target.sha, candidates: shots.map((shot) => shot.sha) };
      const reply = await askJson("rank", { method: "POST", json });
      if (this.store.state.profile.name !== name || this.store.state.target?.id !== target.id) return null;
      this.take(shots, reply);
      if (shots.length === usable(this.store.state.shots).length) this.store.set({ comparison: reply.comparison });
      return reply.comparison;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409 || error.errors.length === 0) throw error;
      this.blame(error, target, shots); // no longer held: their bytes are sent again
      this.stale = true;
      return null;
    }
  }

  /** @param {Shot[]} shots @param {any} reply */
  take(shots, reply) {
    const { state } = this.store;
    const scores = new Map(state.scores);
    /** @type {Map<string, string>} */
    const names = new Map();
    for (const row of reply.ranking) {
      const shot = /** @type {Shot} */ (shots[row.index]);
      names.set(shot.id, row.candidate);
      scores.set(shot.id, { distance: row.distance, base: row.base_distance });
    }
    const target = state.target && state.target.sha === null ? { ...state.target, sha: reply.target } : state.target;
    const there = new Set(state.shots.map((shot) => shot.id));
    for (const id of scores.keys()) if (!there.has(id)) scores.delete(id);
    this.store.set({
      target,
      scores,
      shots: state.shots.map((shot) => (names.has(shot.id) ? { ...shot, sha: names.get(shot.id) ?? null } : shot)),
      profile: state.profile.name === reply.profile.name ? { ...state.profile, version: reply.profile.version } : state.profile,
    });
    follow(this.store);
  }

  /** Tell faults at their places, or forget names that the service does not hold; what is left to try.
   * Raises the problem again where it is no picture's. @param {Problem} problem @param {Shot} target @param {Shot[]} shots */
  blame(problem, target, shots) {
    if (problem.errors.length === 0) throw problem;
    const gone = problem.status === 409;
    /** @type {Map<Shot, string>} */
    const faults = new Map();
    for (const { pointer, detail } of problem.errors) {
      const shot = pointer === "/target" ? target : shots[Number(/^\/candidates\/(\d+)$/.exec(pointer)?.[1] ?? Number.NaN)];
      if (shot === undefined) throw problem;
      faults.set(shot, detail);
    }
    for (const [shot, detail] of faults) {
      if (gone && shot.file !== null) this.store.change(shot.id, { sha: null });
      else this.store.change(shot.id, { fault: gone ? "the service no longer holds this picture: add it again" : detail });
    }
    if (faults.has(target) && !gone) return [];
    const ids = new Set(shots.filter((shot) => gone || !faults.has(shot)).map((shot) => shot.id));
    return this.store.state.shots.filter((shot) => ids.has(shot.id));
  }
}

/** Let my order follow the metric's: wholly until I have touched it, then with new candidates alone. @param {Store} store */
export function follow(store) {
  const { state } = store;
  const metric = metricOrder(state, "profile");
  store.set({ mine: state.touched ? following(state.mine, metric) : orderOf(metric) });
}

/** The candidates that have been scored. @param {readonly Shot[]} shots */
export function usable(shots) {
  return shots.filter((shot) => shot.sha !== null && shot.fault === null);
}

/** @param {FormData} form @param {string} field @param {Shot} shot */
function append(form, field, shot) {
  if (shot.sha !== null) form.append(field, shot.sha);
  else if (shot.file !== null) form.append(field, shot.file, "picture");
}

/** @param {Shot[]} shots @returns {Shot[][]} */
function inBatches(shots) {
  /** @type {Shot[][]} */
  const batches = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const shot of shots) {
    const size = shot.file?.size ?? 0;
    const most = batches.length === 1 ? FIRST_BYTES : BATCH_BYTES;
    if (bytes + size > most || (batches.at(-1)?.length ?? 0) >= BATCH_IMAGES) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(shot);
    bytes += size;
  }
  return batches;
}
