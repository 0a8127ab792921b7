/** The board: my order of the candidates as a grid of pictures, the nearest to the target first. */

import { Card, pictureOf } from "./card.js";
import { find, h, put, say } from "./dom.js";
import { icon } from "./icons.js";
import { glide } from "./motion.js";
import { ranks } from "./order.js";
import { metricName, metricOrder } from "./store.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Shot} Shot */

export class Board {
  /** @param {import("./store.js").Store} store @param {(id: string, act: import("./card.js").Act | "back" | "remove") => void} act */
  constructor(store, act) {
    this.store = store;
    this.act = act;
    this.list = find("#order", HTMLOListElement);
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Map<string, {element: HTMLElement, drawn: Shot["thumbnail"]}>} what waits for its score */
    this.waiting = new Map();
    this.pressed = ""; // what a finger has pressed that had no buttons yet
    this.list.addEventListener("pointerdown", (event) => this.press(event), true);
    this.list.addEventListener("focusin", (event) => this.choose(event.target));
    store.listen((state, before) => this.show(state, before));
  }

  /** @param {State} state @param {State} before */
  show(state, before) {
    if (onlyDrawn(state, before)) {
      state.shots.forEach((shot, index) => shot !== before.shots[index] && this.cards.get(shot.id)?.draw(shot));
      return;
    }
    if (state.shots !== before.shots || state.mine !== before.mine) {
      this.showAside(state);
      const moves = state.mine.ids !== before.mine.ids && before.mine.ids.length > 0;
      const shown = [...this.cards.values()].map((card) => card.element);
      if (moves) glide(shown, () => this.arrange(state));
      else this.arrange(state);
    }
    this.fill(state);
  }

  /** Put the cards in order; what had the keyboard keeps it. @param {State} state */
  arrange(state) {
    const focused = document.activeElement;
    const wanted = new Set(state.mine.ids);
    for (const [id, card] of this.cards) {
      if (wanted.has(id)) continue;
      if (card.element.contains(focused)) this.focus(this.neighbour(card.element, state));
      card.element.remove();
      this.cards.delete(id);
    }
    let at = this.list.firstElementChild;
    for (const id of state.mine.ids) {
      const { element } = this.card(id);
      if (element === at) at = at.nextElementSibling;
      else this.list.insertBefore(element, at);
    }
    if (focused instanceof HTMLElement && this.list.contains(focused) && document.activeElement !== focused) {
      focused.focus({ preventScroll: true });
      focused.closest(".card")?.scrollIntoView({ block: "nearest" });
    }
  }

  /** @param {State} state */
  fill(state) {
    const { mine } = state;
    const rank = ranks(mine);
    const theirs = new Map(metricOrder(state).filter((id) => rank.has(id)).map((id, index) => [id, index + 1]));
    const current = state.current !== null && rank.has(state.current) ? state.current : mine.ids[0];
    mine.ids.forEach((id, place) => {
      const shot = this.store.shot(id);
      if (shot === undefined) return;
      const standing = {
        rank: rank.get(id) ?? 0,
        tied: mine.tied.has(id),
        metric: theirs.get(id) ?? null,
        metricName: metricName(state),
        best: mine.said === "best" && place === 0,
        place,
        count: mine.ids.length,
      };
      const card = this.card(id);
      card.show(shot, standing, id === current);
      card.element.classList.toggle("current", id === state.current);
      card.element.classList.toggle("unsaid", (mine.said === "best" && place > 0) || (mine.said === "top" && place >= mine.top));
    });
    const { target } = state;
    if (target?.thumbnail) {
      const ratio = Math.max(0.6, Math.min(1.8, target.thumbnail.width / target.thumbnail.height));
      document.documentElement.style.setProperty("--ratio", ratio.toFixed(3));
    }
  }

  /** What waits for its score, what cannot be used, and what is left out: below the order. @param {State} state */
  showAside(state) {
    const { mine } = state;
    const known = new Set([...mine.ids, ...mine.out]);
    const others = state.shots.filter((shot) => !known.has(shot.id));
    put(find("#faulty", HTMLElement), ...others.filter((shot) => shot.fault !== null).map((shot) => this.faulty(shot)));
    this.showWaiting(others.filter((shot) => shot.fault === null));
    find("#left-out", HTMLElement).hidden = mine.out.length === 0;
    put(find("#out", HTMLElement), ...mine.out.map((id) => this.outside(id)));
    say(find("#count", HTMLElement), mine.ids.length === 0 ? "" : String(mine.ids.length));
  }

  /** Each is drawn once, and once more when its picture has come: they come one by one. @param {Shot[]} shots */
  showWaiting(shots) {
    const ids = new Set(shots.map((shot) => shot.id));
    for (const [id, { element }] of this.waiting) {
      if (ids.has(id)) continue;
      element.remove();
      this.waiting.delete(id);
    }
    const list = find("#waiting-shots", HTMLElement);
    shots.forEach((shot, place) => {
      const there = this.waiting.get(shot.id);
      const element = there?.element ?? h("li", { class: "pending" });
      if (there === undefined || there.drawn !== shot.thumbnail) {
        put(element, h("div", { class: "frame" }, pictureOf(shot)), h("div", { class: "caption" }, h("span", { class: "name" }, shot.name)));
        this.waiting.set(shot.id, { element, drawn: shot.thumbnail });
      }
      if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
    });
  }

  /** @param {string} id */
  outside(id) {
    const shot = this.store.shot(id);
    if (shot === undefined) return null;
    const back = () => this.act(id, "back");
    const words = `Bring ${shot.name} back`;
    return h("li", {}, h("button", { class: "small", type: "button", title: words, "aria-label": words, onclick: back }, pictureOf(shot), icon("back")));
  }

  /** @param {import("./types.js").Shot} shot */
  faulty(shot) {
    const remove = () => this.act(shot.id, "remove");
    return h("li", { role: "alert" }, h("strong", {}, shot.name), h("span", {}, shot.fault), h("button", { type: "button", onclick: remove }, "Take it off the table"));
  }

  /** @param {string | null | undefined} id */
  focus(id) {
    if (id != null) this.cards.get(id)?.picture.focus({ preventScroll: true });
  }

  /** @param {string} id */
  card(id) {
    const there = this.cards.get(id);
    if (there) return there;
    const card = new Card(id, (which, act) => this.act(which, act));
    this.cards.set(id, card);
    return card;
  }

  /** @param {Element} element @param {State} state */
  neighbour(element, state) {
    const others = [element.nextElementSibling, element.previousElementSibling];
    const ids = others.map((other) => (other instanceof HTMLElement ? other.dataset["id"] : undefined));
    return ids.find((id) => id !== undefined && state.mine.ids.includes(id)) ?? null;
  }

  /** Note what a finger presses, before the press gives it the keyboard. @param {PointerEvent} event */
  press(event) {
    const card = event.target instanceof Element ? event.target.closest(".card") : null;
    const id = card instanceof HTMLElement ? (card.dataset["id"] ?? "") : "";
    this.pressed = event.pointerType === "touch" && id !== this.store.state.current ? id : "";
  }

  /** @param {EventTarget | null} focused */
  choose(focused) {
    const card = focused instanceof Element ? focused.closest(".card") : null;
    if (card instanceof HTMLElement) this.store.set({ current: card.dataset["id"] ?? null });
  }
}

/** Whether nothing but pictures of cards has come: 200 of them come one by one. @param {State} state @param {State} before */
function onlyDrawn(state, before) {
  const same = /** @type {const} */ (["target", "scores", "mine", "shown", "profile", "session", "current"]).every((part) => state[part] === before[part]);
  const placed = new Set(state.mine.ids);
  return same && state.shots.length === before.shots.length && state.shots.every((shot, index) => shot === before.shots[index] || (placed.has(shot.id) && shot.fault === null));
}
