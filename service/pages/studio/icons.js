/** Icons: strokes on a 24 by 24 grid, in the colour of the text around them. */

import { svg } from "./dom.js";

const PATHS = {
  earlier: "M14 6l-6 6 6 6",
  later: "M10 6l6 6-6 6",
  tie: "M6 9.5h12M6 14.5h12",
  best: "M12 4.5l2.3 4.7 5.2.8-3.8 3.6.9 5.2-4.6-2.5-4.6 2.5.9-5.2L4.5 10l5.2-.8z",
  out: "M7 7l10 10M17 7L7 17",
  look: "M10.5 5a5.5 5.5 0 100 11 5.5 5.5 0 000-11zM14.8 14.8L19.5 19.5",
  back: "M12 19V6M6.5 11.5L12 6l5.5 5.5",
  target: "M12 4v4M12 16v4M4 12h4M16 12h4M12 9.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5z",
  undo: "M8.5 5L4.5 9l4 4M5 9h8.5a5.5 5.5 0 010 11H9",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
};

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const path = svg("path", { d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.75, "stroke-linecap": "round", "stroke-linejoin": "round" });
  return svg("svg", { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true", class: "icon" }, path);
}
