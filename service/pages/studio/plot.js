/** A profile's history: agreement with the person on what was not seen, version by version, beside plain LPIPS. */

import { svg } from "./dom.js";
import { percent } from "./words.js";

/** @typedef {import("./types.js").Version} Version */

const [WIDTH, HEIGHT, LEFT, RIGHT, EDGE] = [320, 120, 40, 12, 14];

/** @param {readonly Version[]} versions the newest first @returns {SVGElement | null} null where none was fitted */
export function plot(versions) {
  const fitted = versions.filter((version) => version.fit).reverse();
  if (fitted.length === 0) return null;
  const ours = fitted.map((version) => version.fit?.agreement.pair_agreement ?? 0);
  const lpips = fitted.map((version) => version.fit?.lpips.pair_agreement ?? 0);
  const low = Math.max(0, Math.floor(Math.min(...ours, ...lpips) * 20) / 20 - 0.05);
  const high = Math.min(1, Math.ceil(Math.max(...ours, ...lpips) * 20) / 20);
  const x = (/** @type {number} */ index) => LEFT + ((WIDTH - LEFT - RIGHT) * (index + 0.5)) / fitted.length;
  const y = (/** @type {number} */ share) => EDGE + (HEIGHT - 2 * EDGE) * (1 - (share - low) / (high - low || 1));
  const path = (/** @type {number[]} */ shares) => shares.map((share, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(share).toFixed(1)}`).join("");
  const label = (/** @type {number} */ share) => svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share));
  const last = ours.at(-1) ?? 0;
  const words = `Agreement on pictures not seen, over ${fitted.length} versions: ${percent(ours[0] ?? 0)} at first, ${percent(last)} now; plain LPIPS ${percent(lpips.at(-1) ?? 0)}`;
  return svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    svg("path", { class: "grid", d: `M${LEFT} ${y(low)}H${WIDTH - RIGHT}M${LEFT} ${y(high)}H${WIDTH - RIGHT}` }),
    label(low),
    label(high),
    svg("path", { class: "base", d: path(lpips) }),
    svg("path", { class: "ours", d: path(ours) }),
    ...fitted.map((version, index) => svg("circle", { class: version.status === "in use" ? "use" : version.status.replace(" ", "-"), cx: x(index), cy: y(ours[index] ?? 0), r: 4 }, svg("title", {}, `version ${version.number}, ${version.status}: ${percent(ours[index] ?? 0)}`))),
  );
}
