/**
 * The state of the page, in one place: whoever changes it, everybody who shows it hears once, before the next picture.
 *
 * @typedef {import("./types.js").State} State
 */

import { orderOf } from "./order.js";

/** @type {State} */
const EMPTY = {
  target: null,
  shots: [],
  scores: new Map(),
  mine: orderOf([]),
  touched: false,
  profile: { name: "balanced", version: 1, taught: false },
  shown: "profile",
  comparison: null,
  lesson: null,
  session: null,
  current: null,
};

export class Store {
  constructor() {
    /** @type {State} */
    this.state = EMPTY;
    /** @type {Set<(state: State, before: State) => void>} */
    this.listeners = new Set();
    /** @type {State | null} the state that was shown last, while a change waits to be shown */
    this.before = null;
  }

  /** @param {Partial<State>} change */
  set(change) {
    this.before ??= this.state;
    this.state = { ...this.state, ...change };
    queueMicrotask(() => this.tell());
  }

  /** @param {(state: State, before: State) => void} listener called with the state, and the one that it showed last */
  listen(listener) {
    this.listeners.add(listener);
    listener(this.state, EMPTY);
  }

  /** Show what has changed now, and not a moment later: for who needs the new elements. */
  tell() {
    const before = this.before;
    if (before === null) return;
    this.before = null;
    for (const listener of this.listeners) listener(this.state, before);
  }

  /** @param {string} id @param {Partial<import("./types.js").Shot>} change of one picture */
  change(id, change) {
    const { target, shots } = this.state;
    if (target?.id === id) this.set({ target: { ...target, ...change } });
    else this.set({ shots: shots.map((shot) => (shot.id === id ? { ...shot, ...change } : shot)) });
  }

  /** @param {string} id */
  shot(id) {
    return this.state.target?.id === id ? this.state.target : this.state.shots.find((shot) => shot.id === id);
  }
}

/** The candidates that have been scored, the most similar first, by the metric that is shown, or another.
 * @param {State} state @param {"profile" | "lpips"} [by] @returns {string[]} */
export function metricOrder(state, by = state.shown) {
  const scored = state.shots.filter((shot) => state.scores.has(shot.id)).map((shot) => shot.id);
  return scored.sort((a, b) => distanceOf(state, a, by) - distanceOf(state, b, by));
}

/** @param {State} state @param {string} id @param {"profile" | "lpips"} [by] */
export function distanceOf(state, id, by = state.shown) {
  const score = state.scores.get(id);
  return (by === "lpips" ? score?.base : score?.distance) ?? Number.NaN;
}

/** What the metric beside mine is called. @param {State} state */
export function metricName(state) {
  return state.shown === "lpips" ? "LPIPS" : state.profile.name;
}
