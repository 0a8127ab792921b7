/** Heat maps: where a candidate differs from its target, by layer; and how much of the distance each family makes. */

import { h, put } from "./dom.js";
import { percent } from "./words.js";

const LAYERS = ["edges, colours", "textures", "patterns", "parts", "things"];
const FAMILIES = /** @type {Record<string, string>} */ ({
  aligned: "what is where",
  mean: "colours and materials",
  std: "texture and composition",
  content_mean: "what it is of",
  content_std: "how that is spread",
});

/** The choices of a menu: all layers, and each of so many. @param {number} count of the backbone's @returns {[string, string][]} */
export function layerChoices(count) {
  const words = (/** @type {number} */ place) => (count === LAYERS.length ? `: ${LAYERS[place]}` : ` of ${count}`);
  return [["", "all layers"], ...Array.from({ length: count }, (_, place) => /** @type {[string, string]} */ ([`${place + 1}`, `layer ${place + 1}${words(place)}`]))];
}

/** What the service says beside a map. @param {Response} answer */
export function told(answer) {
  const families = pairs(answer.headers.get("clpips-families"));
  return {
    distance: Number(answer.headers.get("clpips-distance")),
    families,
    layers: Number(answer.headers.get("clpips-layers")),
    unplaced: Number(answer.headers.get("clpips-unplaced")),
  };
}

/** Draw a map over a picture, at the picture's size. @param {HTMLCanvasElement} canvas @param {Blob} map @param {HTMLCanvasElement} over */
export async function drawMap(canvas, map, over) {
  const decoded = await createImageBitmap(map);
  canvas.width = over.width;
  canvas.height = over.height;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(decoded, 0, 0, canvas.width, canvas.height);
  decoded.close();
}

/** The families' shares as bars. @param {HTMLElement} box @param {Omit<ReturnType<typeof told>, "layers">} heat */
export function showShares(box, { distance, families, unplaced }) {
  const whole = Object.values(families).reduce((sum, part) => sum + part, 0);
  const rows = Object.entries(families).filter(([, part]) => part > 0);
  put(
    box,
    h("p", {}, `Distance ${distance.toFixed(4)}. `, unplaced > 0.005 ? `${percent(unplaced)} of it has no place, and is not on the map.` : "All of it is on the map."),
    h(
      "ul",
      { class: "shares" },
      ...rows.map(([name, part]) => {
        const bar = h("span", { class: "bar" });
        bar.style.setProperty("--share", String(whole ? part / whole : 0));
        return h("li", {}, h("span", {}, FAMILIES[name] ?? name), bar, h("span", { class: "number" }, percent(whole ? part / whole : 0)));
      }),
    ),
  );
}

/** @param {string | null} text such as `aligned=0.31, mean=0.09` */
function pairs(text) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const pair of (text ?? "").split(",")) {
    const [name, value] = pair.trim().split("=");
    if (name && value) found[name] = Number(value);
  }
  return found;
}
