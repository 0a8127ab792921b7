/** Where we differ: the metric's order and mine side by side, a line for each picture, and the pairs behind Kendall's τ. */

import { compare } from "./agreement.js";
import { pictureOf } from "./card.js";
import { find, h, mark, put, say, svg } from "./dom.js";
import { ranks } from "./order.js";
import { distanceOf, metricName, metricOrder } from "./store.js";

/** @typedef {import("./types.js").State} State */

const ROW = 44; // pixels a picture, of which 40 are the picture
const WIDTH = 220;
const EDGE = 48; // where lines begin and end
const PAIRS_SHOWN = 12;

export class Differ {
  /** @param {import("./store.js").Store} store @param {(id: string) => void} choose */
  constructor(store, choose) {
    this.store = store;
    this.choose = choose;
    this.box = find("#slope", HTMLElement);
    this.lines = svg("svg", { class: "lines", "aria-hidden": "true", width: WIDTH });
    this.box.append(this.lines);
    /** @type {Map<string, {left: HTMLElement, right: HTMLElement, line: SVGPathElement, url: string | null}>} */
    this.rows = new Map();
    store.listen((state, before) => this.show(state, before));
  }

  /** @param {State} state @param {State} before */
  show(state, before) {
    if (state.mine !== before.mine || state.scores !== before.scores || state.shown !== before.shown || state.profile !== before.profile) this.arrange(state);
    else if (state.shots !== before.shots) for (const id of this.rows.keys()) this.row(id);
    if (state.current !== before.current) {
      for (const [id, row] of this.rows) for (const part of [row.left, row.right, row.line]) part.classList.toggle("current", id === state.current);
    }
  }

  /** @param {State} state */
  arrange(state) {
    const rank = ranks(state.mine);
    const mine = state.mine.ids;
    const theirs = metricOrder(state).filter((id) => rank.has(id));
    const known = new Set(theirs);
    for (const [id, row] of this.rows) {
      if (known.has(id)) continue;
      for (const part of [row.left, row.right, row.line]) part.remove();
      this.rows.delete(id);
    }
    const places = new Map(mine.map((id, index) => [id, index]));
    theirs.forEach((id, index) => {
      const row = this.row(id);
      const other = places.get(id) ?? 0;
      const from = index * ROW + ROW / 2;
      const to = other * ROW + ROW / 2;
      row.left.style.setProperty("transform", `translateY(${index * ROW}px)`);
      row.right.style.setProperty("transform", `translateY(${other * ROW}px)`);
      mark(row.line, "d", `M${EDGE} ${from}C${WIDTH / 2} ${from} ${WIDTH / 2} ${to} ${WIDTH - EDGE} ${to}`);
      mark(row.line, "class", `line ${index === other ? "alike" : "apart"}${id === state.current ? " current" : ""}`);
    });
    mark(this.lines, "height", String(theirs.length * ROW));
    this.box.style.setProperty("height", `${theirs.length * ROW}px`);
    find("#differ", HTMLElement).hidden = theirs.length < 2;
    say(find("#their-name", HTMLElement), metricName(state));
    this.tell(state, compare(new Map(theirs.map((id) => [id, rank.get(id) ?? 0])), (id) => distanceOf(state, id)));
  }

  /** @param {State} state @param {import("./agreement.js").Agreement} agreement */
  tell(state, { tau, alike, pairs, differences }) {
    const name = metricName(state);
    say(find("#agree", HTMLElement), !state.touched ? `You have not changed ${name}’s order yet.` : pairs === 0 ? "You say nothing of any pair yet." : pairs === 1 ? `You and ${name} order the pair ${alike === 1 ? "alike" : "otherwise"}.` : alike === pairs ? `You and ${name} order all ${pairs} pairs alike.` : `You and ${name} order ${alike} of ${pairs} pairs alike.`);
    say(find("#tau", HTMLElement), tau === null || !state.touched ? "" : `Kendall’s τ ${tau.toFixed(2).replace("-", "−")}`);
    const names = (/** @type {string} */ id) => this.store.shot(id)?.name ?? "";
    find("#pairs-box", HTMLElement).hidden = differences.length === 0;
    put(
      find("#pairs", HTMLElement),
      ...differences.slice(0, PAIRS_SHOWN).map(({ before, after }) => {
        const [mine, theirs] = [distanceOf(state, before), distanceOf(state, after)].map((value) => value.toFixed(3));
        return h("li", {}, h("b", {}, names(before)), " before ", h("b", {}, names(after)), h("span", {}, ` ${name}: ${mine} and ${theirs}`));
      }),
      differences.length > PAIRS_SHOWN && h("li", {}, `and ${differences.length - PAIRS_SHOWN} more`),
    );
  }

  /** @param {string} id */
  row(id) {
    const shot = this.store.shot(id);
    const there = this.rows.get(id);
    const url = shot?.thumbnail?.url ?? null;
    const made = there ?? { left: this.side("left", id), right: this.side("right", id), line: svg("path", { class: "line" }), url: null };
    if (there === undefined) {
      this.box.append(made.left, made.right);
      this.lines.append(made.line);
      this.rows.set(id, made);
    }
    if (shot !== undefined && (there === undefined || made.url !== url)) {
      put(made.left, pictureOf(shot));
      put(made.right, pictureOf(shot));
      made.url = url;
    }
    return made;
  }

  /** @param {string} side @param {string} id */
  side(side, id) {
    return h("div", { class: `thumb ${side}`, "aria-hidden": "true", onclick: () => this.choose(id) });
  }
}
