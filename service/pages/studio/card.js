/**
 * A candidate's card: its picture, its rank, and what can be done with it by one press each.
 *
 * @typedef {import("./types.js").Shot} Shot
 * @typedef {"look" | "earlier" | "later" | "tie" | "best" | "out" | "target"} Act
 * @typedef {{rank: number, tied: boolean, metric: number | null, metricName: string, best: boolean, place: number, count: number}} Standing
 */

import { h, mark, put, say } from "./dom.js";
import { icon } from "./icons.js";

/** @type {[Act & Parameters<typeof icon>[0], string, string][]} what it does, in words, and its key */
const ACTS = [
  ["earlier", "Move nearer to the target", "Alt+←"],
  ["later", "Move further from the target", "Alt+→"],
  ["tie", "As near as the one before", "T"],
  ["best", "This one is the best", "B"],
  ["out", "Leave out", "X"],
  ["look", "Look closely", "Enter"],
];

export class Card {
  /** @param {string} id @param {(id: string, act: Act) => void} act */
  constructor(id, act) {
    this.picture = h("button", { class: "picture", type: "button", onclick: () => act(id, "look"), "aria-describedby": "keys-hint" });
    this.rank = h("span", { class: "rank" });
    this.name = h("span", { class: "name" });
    this.whose = h("span", { class: "whose" });
    this.metricRank = h("span");
    this.metric = h("span", { class: "metric" }, this.whose, this.metricRank);
    this.actions = h(
      "div",
      { class: "actions" },
      ...ACTS.map(([name, words, key]) => {
        const press = () => act(id, name);
        return h("button", { type: "button", title: `${words} (${key})`, "aria-label": words, "data-act": name, onclick: press }, icon(name));
      }),
    );
    this.element = h(
      "li",
      { class: "card", "data-id": id },
      h("div", { class: "frame" }, this.picture, this.actions),
      h("div", { class: "caption" }, this.rank, this.name, this.metric),
    );
    /** @type {string | null} */
    this.drawn = null;
  }

  /** @param {Shot} shot @param {Standing} standing @param {boolean} current whether it has the keyboard */
  show(shot, standing, current) {
    const { rank, tied, metric, metricName, place, count } = standing;
    this.draw(shot);
    say(this.rank, tied ? `${rank} =` : String(rank));
    say(this.name, shot.name);
    mark(this.name, "title", shot.prompt ?? shot.name);
    say(this.whose, metric === null ? "" : `${metricName.length > 10 ? `${metricName.slice(0, 9)}…` : metricName} `);
    say(this.metricRank, metric === null ? "" : String(metric));
    const off = metric === null ? 0 : metric - rank;
    mark(this.element, "data-off", off === 0 ? "none" : off > 0 ? "up" : "down");
    this.element.classList.toggle("tied", tied);
    this.element.classList.toggle("best", standing.best);
    const theirs = metric === null ? "" : `; ${metricName} has it at ${metric}`;
    mark(this.picture, "aria-label", `Rank ${rank}${tied ? ", as near as the one before" : ""}, ${place + 1} of ${count}: ${shot.name}${theirs}`);
    const tab = current ? "0" : "-1";
    mark(this.picture, "tabindex", tab);
    for (const button of this.actions.children) {
      mark(button, "tabindex", tab);
      if (button instanceof HTMLButtonElement && button.dataset.act === "tie") mark(button, "aria-pressed", String(tied));
      if (button instanceof HTMLButtonElement && button.dataset.act === "best") mark(button, "aria-pressed", String(standing.best));
    }
  }

  /** @param {Shot} shot */
  draw(shot) {
    const url = shot.thumbnail?.url ?? null;
    if (this.drawn === (url ?? "none")) return;
    this.drawn = url ?? "none";
    put(this.picture, pictureOf(shot));
  }
}

/** @param {Shot} shot */
export function pictureOf(shot) {
  if (shot.thumbnail === null) return h("span", { class: "placeholder", "aria-hidden": "true" }, shot.name.slice(0, 40));
  return h("img", { src: shot.thumbnail.url, alt: "", draggable: "false", decoding: "async", width: shot.thumbnail.width, height: shot.thumbnail.height });
}
