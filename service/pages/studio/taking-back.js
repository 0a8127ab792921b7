/** What can be taken back: the orders before this one, the newest last. */

const MOST = 200;

/** @template T */
export class History {
  constructor() {
    /** @type {T[]} */
    this.past = [];
  }

  /** @param {T} value */
  remember(value) {
    this.past.push(value);
    if (this.past.length > MOST) this.past.shift();
  }

  /** @returns {T | undefined} the newest, which it forgets */
  take() {
    return this.past.pop();
  }

  get isEmpty() {
    return this.past.length === 0;
  }
}
