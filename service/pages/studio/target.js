/** The target: the picture that all others are compared with, always in sight; and which one it is to be. */

import { announce } from "./announce.js";
import { pictureOf } from "./card.js";
import { find, h, put } from "./dom.js";

/** @typedef {import("./types.js").Shot} Shot */

export class Target {
  /** @param {import("./store.js").Store} store @param {() => void} bring asks for a file @param {(id: string) => void} take makes a candidate the target */
  constructor(store, bring, take) {
    this.store = store;
    this.box = find("#target", HTMLElement);
    this.dialog = find("#targets", HTMLDialogElement);
    this.bring = bring;
    this.take = take;
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
        session === null && h("button", { type: "button", class: "quiet", onclick: () => this.ask() }, "Change"),
      ),
      target.fault !== null && h("p", { class: "fault", role: "alert" }, target.fault),
    );
  }

  /** Which one it is to be: of the pictures that are there, or another. */
  ask() {
    const shots = this.store.state.shots.filter((shot) => shot.fault === null);
    if (shots.length === 0) {
      this.bring();
      return;
    }
    const other = () => {
      this.dialog.close();
      this.bring();
    };
    put(
      this.dialog,
      h("h2", { id: "targets-title" }, "Which picture is the target?"),
      h("div", { class: "many" }, ...shots.map((shot) => h("button", { type: "button", class: "choice", onclick: () => this.choose(shot) }, pictureOf(shot), h("span", {}, shot.name)))),
      h("form", { method: "dialog", class: "row end" }, h("button", { type: "button", onclick: other }, "Another file"), h("button", {}, "Leave it")),
    );
    this.dialog.showModal();
  }

  /** @param {Shot} shot */
  choose(shot) {
    this.dialog.close();
    this.take(shot.id);
    this.store.tell();
    announce(`${shot.name} is the target`);
    this.box.querySelector("button")?.focus();
  }
}
