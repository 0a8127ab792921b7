/** What a person does to their order: each change can be taken back, and is said aloud. */

import { announce } from "./announce.js";
import { best, broughtBack, leftOut, moved, ranks, saysSomething, tieToggled } from "./order.js";
import { follow } from "./scoring.js";
import { History } from "./taking-back.js";

export class Mine {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** @type {History<{mine: import("./types.js").Order, touched: boolean}>} */
    this.history = new History();
    store.listen((state, before) => state.target?.id !== before.target?.id && this.history.clear()); // they were of another target
  }

  /** @param {string} id @param {number} place counted from 0 without the candidate itself */
  move(id, place) {
    const before = this.store.state.mine.ids.indexOf(id);
    const mine = moved(this.store.state.mine, id, place);
    if (mine.ids.indexOf(id) === before) {
      announce(before === 0 ? `${this.name(id)} is the first` : `${this.name(id)} is the last`);
      return;
    }
    this.change(mine);
    announce(`${this.name(id)} is now ${mine.ids.indexOf(id) + 1} of ${mine.ids.length}`);
  }

  /** One place nearer to the target, or further from it. @param {string} id @param {number} step */
  step(id, step) {
    this.move(id, this.store.state.mine.ids.indexOf(id) + step);
  }

  /** @param {string} id */
  tie(id) {
    const { mine } = this.store.state;
    const place = mine.ids.indexOf(id);
    if (place <= 0) {
      announce(`${this.name(id)} is the first: there is none before it to be alike with`);
      return;
    }
    const changed = tieToggled(mine, id);
    this.change(changed);
    const before = this.name(/** @type {string} */ (mine.ids[place - 1]));
    announce(changed.tied.has(id) ? `${this.name(id)} is as near as ${before}` : `${this.name(id)} comes after ${before}`);
  }

  /** @param {string} id */
  best(id) {
    this.change(best(this.store.state.mine, id));
    announce(`${this.name(id)} is the best; nothing is said of the rest`);
  }

  /** @param {string} id */
  leaveOut(id) {
    this.change(leftOut(this.store.state.mine, id));
    announce(`${this.name(id)} is left out`);
  }

  /** @param {string} id */
  bringBack(id) {
    const mine = broughtBack(this.store.state.mine, id, this.store.state.mine.ids.length);
    this.change(mine);
    announce(`${this.name(id)} is back, at ${mine.ids.length} of ${mine.ids.length}`);
  }

  /** How much of the order is meant. @param {import("./types.js").Said} said @param {number} top */
  mean(said, top) {
    this.change({ ...this.store.state.mine, said, top });
  }

  undo() {
    const last = this.history.back(this.now());
    if (last === undefined) return;
    this.restore(last);
    announce("Taken back");
  }

  /** Do again what was taken back last. */
  redo() {
    const next = this.history.forth(this.now());
    if (next === undefined) return;
    this.restore(next);
    announce("Done again");
  }

  now() {
    const { mine, touched } = this.store.state;
    return { mine, touched };
  }

  /** Put an order of before back; what has come since, or has gone, comes or goes in it too.
   * @param {{mine: import("./types.js").Order, touched: boolean}} before */
  restore({ mine, touched }) {
    this.store.set({ mine, touched });
    follow(this.store);
  }

  /** Follow the metric's order again. */
  reset() {
    this.history.remember(this.now());
    this.store.set({ touched: false });
    follow(this.store);
    announce("Your order is the metric's again");
  }

  get canTeach() {
    const { mine } = this.store.state;
    return mine.said === "order" ? saysSomething(mine) : mine.ids.length > 1;
  }

  /** @param {import("./types.js").Order} mine */
  change(mine) {
    this.history.remember(this.now());
    this.store.set({ mine, touched: true });
  }

  /** @param {string} id */
  name(id) {
    return this.store.shot(id)?.name ?? "It";
  }

  /** @param {string} id */
  rank(id) {
    return ranks(this.store.state.mine).get(id);
  }
}
