/** Which two to compare next: the pair about which the weights can differ most, beside the target, and one press. */

import { announce } from "./announce.js";
import { Problem } from "./api.js";
import { pictureOf } from "./card.js";
import { find, h, put } from "./dom.js";

/** @typedef {import("./types.js").Shot} Shot */

export class Suggest {
  /** @param {import("./store.js").Store} store @param {() => import("./source.js").Source} source @param {(lesson: () => Promise<import("./source.js").Taught>) => Promise<void>} learn */
  constructor(store, source, learn) {
    this.store = store;
    this.source = source;
    this.learn = learn;
    this.dialog = find("#pair", HTMLDialogElement);
  }

  async ask() {
    try {
      const { pair, reason } = await this.source().suggest();
      if (pair === null) this.tell(reason);
      else this.show(pair);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.tell(error.message);
    }
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** @param {[Shot, Shot]} pair */
  show([first, second]) {
    const { target } = this.store.state;
    const choice = (/** @type {Shot} */ nearer, /** @type {Shot} */ other) =>
      h("button", { type: "button", class: "choice", "aria-label": `${nearer.name} is nearer`, onclick: () => void this.choose(nearer, other) }, pictureOf(nearer), h("span", {}, nearer.name));
    put(
      this.dialog,
      h("h2", { id: "pair-title" }, "Which is nearer to the target?"),
      h("div", { class: "three" }, choice(first, second), h("div", { class: "choice of" }, target && pictureOf(target), h("span", {}, "the target")), choice(second, first)),
      h("form", { method: "dialog", class: "row end" }, h("button", {}, "I cannot say")),
    );
  }

  /** @param {string} reason */
  tell(reason) {
    put(this.dialog, h("h2", { id: "pair-title" }, "Nothing to ask"), h("p", {}, `${reason}.`), h("form", { method: "dialog", class: "row end" }, h("button", {}, "Close")));
  }

  /** @param {Shot} nearer @param {Shot} other */
  async choose(nearer, other) {
    this.dialog.close();
    announce(`${nearer.name} is nearer`);
    await this.learn(() => this.source().teachPair(nearer, other));
  }
}
