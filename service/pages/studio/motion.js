/** Movement: what has changed its place glides there from where it was, unless the person wants no motion. */

const MILLISECONDS = 320;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Bring an element into sight, where it is not. @param {Element} element @param {ScrollLogicalPosition} block */
export function reveal(element, block) {
  element.scrollIntoView({ block, behavior: still.matches ? "auto" : "smooth" });
}

/** Change elements, and let them glide. @param {Iterable<HTMLElement>} elements @param {() => void} change @param {HTMLElement | null} [except] */
export function glide(elements, change, except = null) {
  if (still.matches) {
    change();
    return;
  }
  /** @type {Map<HTMLElement, DOMRect>} */
  const before = new Map();
  for (const element of elements) {
    const place = element.getBoundingClientRect();
    if (place.bottom > -200 && place.top < innerHeight + 200) before.set(element, place);
  }
  change();
  for (const [element, from] of before) {
    if (!element.isConnected || element === except) continue;
    const to = element.getBoundingClientRect();
    const x = from.left - to.left;
    const y = from.top - to.top;
    if (x === 0 && y === 0) continue;
    element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: MILLISECONDS, easing: "cubic-bezier(.2, .7, .2, 1)" });
  }
}
