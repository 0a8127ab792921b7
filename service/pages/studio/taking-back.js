/** What can be taken back, and what was taken back: the orders before this one and after it, the nearest last. */

const MOST = 200;

/** @template T */
export class History {
  constructor() {
    /** @type {T[]} */
    this.past = [];
    /** @type {T[]} */
    this.future = [];
  }

  /** Keep what is about to be changed; what had been taken back is gone. @param {T} value */
  remember(value) {
    this.past.push(value);
    if (this.past.length > MOST) this.past.shift();
    this.future = [];
  }

  /** @param {T} now what is changed back @returns {T | undefined} the newest of before */
  back(now) {
    const found = this.past.pop();
    if (found !== undefined) this.future.push(now);
    return found;
  }

  /** @param {T} now what is changed again @returns {T | undefined} what was taken back last */
  forth(now) {
    const found = this.future.pop();
    if (found !== undefined) this.past.push(now);
    return found;
  }

  clear() {
    this.past = [];
    this.future = [];
  }
}
