/** Dragging with a pointer or a finger: SortableJS moves the card, and the order learns where it went. */

import Sortable from "../vendor/sortable.js";

const HOLD_MILLISECONDS = 220; // a finger that moves sooner scrolls

/** @param {HTMLElement} list @param {(id: string, place: number) => void} move */
export function makeDraggable(list, move) {
  let dropped = 0;
  Sortable.create(list, {
    animation: 160,
    forceFallback: true, // the same on every system, and within the page's own look
    fallbackOnBody: true,
    fallbackTolerance: 6, // so that a press stays a press
    delay: HOLD_MILLISECONDS,
    delayOnTouchOnly: true,
    touchStartThreshold: 6,
    draggable: ".card",
    filter: ".actions",
    preventOnFilter: false,
    ghostClass: "ghost",
    chosenClass: "chosen",
    dragClass: "dragged",
    fallbackClass: "dragged",
    scrollSensitivity: 90,
    scrollSpeed: 14,
    onEnd: (/** @type {{item: HTMLElement, oldIndex: number, newIndex: number}} */ { item, oldIndex, newIndex }) => {
      dropped = performance.now();
      if (oldIndex !== newIndex) move(item.dataset["id"] ?? "", newIndex);
    },
  });
  // A browser takes the end of a drag for a press of what was dragged.
  const swallow = (/** @type {Event} */ event) => {
    if (performance.now() - dropped < 80) {
      event.stopPropagation();
      event.preventDefault();
    }
  };
  list.addEventListener("click", swallow, true);
}
