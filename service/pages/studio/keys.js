/**
 * The board by keyboard alone: arrows go from picture to picture, Space takes one up and arrows move it, Space puts it
 * down. Letters do what the buttons do. All of it only while a picture has the keyboard.
 */

import { announce } from "./announce.js";

const LETTERS = /** @type {const} */ ({ b: "best", "=": "tie", t: "tie", x: "out", Delete: "out", v: "look" });

/** @param {HTMLElement} list @param {import("./board.js").Board} board @param {import("./mine.js").Mine} mine
 * @param {(id: string, act: import("./card.js").Act) => void} act */
export function listenForKeys(list, board, mine, act) {
  /** @type {{id: string, before: {mine: import("./types.js").Order, touched: boolean}} | null} what is taken up, and the order of before */
  let held = null;

  const release = (/** @type {boolean} */ back) => {
    if (held === null) return;
    const { id, before } = held;
    held = null;
    board.cards.get(id)?.element.classList.remove("held");
    if (back) mine.restore(before);
    announce(back ? `${mine.name(id)} is back where it was` : `${mine.name(id)} is put down`);
  };

  list.addEventListener("keydown", (event) => {
    const id = idOf(event.target);
    if (id === null || event.ctrlKey || event.metaKey) return;
    const onPicture = event.target instanceof Element && event.target.classList.contains("picture");
    const { ids } = mine.store.state.mine;
    const place = ids.indexOf(id);
    const to = destination(event.key, place, ids.length, columns(list));
    if (to !== null && onPicture) {
      event.preventDefault();
      if (held?.id === id || event.altKey) mine.move(id, to);
      else board.focus(ids[to]);
    } else if (event.key === " " && onPicture) {
      event.preventDefault();
      if (held !== null) {
        release(false);
      } else {
        held = { id, before: mine.now() };
        board.cards.get(id)?.element.classList.add("held");
        announce(`${mine.name(id)} is taken up. Arrow keys move it, Space puts it down, Escape puts it back.`);
      }
    } else if (event.key === "Escape" && held !== null) {
      event.preventDefault();
      release(true);
    } else if (onPicture && event.key in LETTERS) {
      event.preventDefault();
      release(false);
      act(id, LETTERS[/** @type {keyof typeof LETTERS} */ (event.key)]);
    }
  });
  list.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target instanceof Element && event.target.classList.contains("picture")) event.preventDefault();
  });
  list.addEventListener("focusout", (event) => {
    if (held !== null && event.relatedTarget instanceof Element && idOf(event.relatedTarget) !== held.id) release(false);
  });
}

/** @param {string} key @param {number} place @param {number} count @param {number} across @returns {number | null} */
function destination(key, place, count, across) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (!(key in steps)) return null;
  const to = place + steps[/** @type {keyof typeof steps} */ (key)];
  return Math.max(0, Math.min(count - 1, to));
}

/** How many cards stand beside each other. @param {HTMLElement} list */
function columns(list) {
  const [first, ...rest] = /** @type {HTMLElement[]} */ ([...list.children]);
  if (first === undefined) return 1;
  const next = rest.findIndex((card) => card.offsetTop > first.offsetTop + 4);
  return next === -1 ? list.children.length : next + 1;
}

/** @param {EventTarget | null} target */
function idOf(target) {
  const card = target instanceof Element ? target.closest(".card") : null;
  return card instanceof HTMLElement ? (card.dataset["id"] ?? null) : null;
}
