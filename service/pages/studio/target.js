/** The target: the picture that all others are compared with, always in sight. */

import { pictureOf } from "./card.js";
import { find, h, put } from "./dom.js";

export class Target {
  /** @param {import("./store.js").Store} store @param {() => void} choose */
  constructor(store, choose) {
    this.box = find("#target", HTMLElement);
    this.choose = choose;
    store.listen((state, before) => {
      if (state.target !== before.target || state.session !== before.session) this.show(state);
    });
  }

  /** @param {import("./types.js").State} state */
  show({ target, session }) {
    if (target === null) {
      put(this.box);
      return;
    }
    put(
      this.box,
      h("div", { class: "frame" }, pictureOf(target)),
      h(
        "div",
        { class: "caption" },
        h("span", { class: "label" }, "Target"),
        session === null && h("span", { class: "name", title: target.prompt ?? target.name }, target.name), // a session's has none
        session === null && h("button", { type: "button", class: "quiet", onclick: () => this.choose() }, "Change"),
      ),
      target.fault !== null && h("p", { class: "fault", role: "alert" }, target.fault),
    );
  }
}
