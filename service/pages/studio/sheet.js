/** A contact sheet: the target and the candidates in my order, as one picture. */

import { ranks } from "./order.js";
import { metricName, metricOrder } from "./store.js";

/** @typedef {import("./types.js").State} State */

const [CELL, GAP, MARGIN, LINE, TOP] = [256, 24, 48, 20, 44];
const FONT = "system-ui, sans-serif";
const MOST = 96;

/** @param {State} state @returns {Promise<Blob | null>} a PNG; null where there is nothing to show */
export async function contactSheet(state) {
  const ids = state.mine.ids.slice(0, MOST);
  if (ids.length === 0 || state.target === null) return null;
  const across = Math.min(6, Math.ceil(Math.sqrt(ids.length + 1)));
  const rows = Math.ceil((ids.length + 1) / across);
  const canvas = document.createElement("canvas");
  canvas.width = 2 * MARGIN + across * CELL + (across - 1) * GAP;
  canvas.height = 2 * MARGIN + TOP + rows * (CELL + TOP) + (rows - 1) * GAP;
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) return null;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  text(context, `${state.session?.title || state.target.name}`, MARGIN, MARGIN + 8, `600 22px ${FONT}`, "#1d1c1a", canvas.width - 2 * MARGIN);
  const mine = ranks(state.mine);
  const theirs = new Map(metricOrder(state).map((id, index) => [id, index + 1]));
  const cells = [state.target, ...ids.map((id) => state.shots.find((shot) => shot.id === id))];
  for (const [place, shot] of cells.entries()) {
    if (!shot) continue;
    const x = MARGIN + (place % across) * (CELL + GAP);
    const y = MARGIN + TOP + Math.floor(place / across) * (CELL + TOP + GAP);
    await picture(context, shot, x, y);
    const rank = mine.get(shot.id);
    const first = place === 0 ? "Target" : `${rank}`;
    text(context, first, x, y + CELL + LINE, `600 16px ${FONT}`, "#1d1c1a", 70);
    text(context, shot.name, x + (place === 0 ? 64 : 36), y + CELL + LINE, `14px ${FONT}`, "#55524d", CELL - (place === 0 ? 64 : 36));
    if (place > 0) text(context, `${metricName(state)} ${theirs.get(shot.id) ?? "–"}`, x, y + CELL + 2 * LINE - 2, `13px ${FONT}`, "#75716a", CELL);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** @param {CanvasRenderingContext2D} context @param {import("./types.js").Shot} shot @param {number} x @param {number} y */
async function picture(context, shot, x, y) {
  context.fillStyle = "#f3f2ee";
  context.fillRect(x, y, CELL, CELL);
  if (shot.thumbnail === null) return;
  const decoded = new Image();
  decoded.src = shot.thumbnail.url;
  await decoded.decode();
  const scale = Math.min(CELL / decoded.naturalWidth, CELL / decoded.naturalHeight);
  const [width, height] = [decoded.naturalWidth * scale, decoded.naturalHeight * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(decoded, x + (CELL - width) / 2, y + (CELL - height) / 2, width, height);
}

/** One line, cut where it is too long. @param {CanvasRenderingContext2D} context @param {string} words @param {number} x
 * @param {number} y @param {string} font @param {string} colour @param {number} most */
function text(context, words, x, y, font, colour, most) {
  context.font = font;
  context.fillStyle = colour;
  let shown = words;
  while (shown.length > 1 && context.measureText(shown).width > most) shown = `${shown.slice(0, -2).trimEnd()}…`;
  context.fillText(shown, x, y);
}
