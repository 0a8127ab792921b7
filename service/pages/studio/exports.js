/** A session to carry away: order, distances and prompts as CSV and JSON. */

import { ranks } from "./order.js";
import { metricOrder } from "./store.js";

/** @typedef {import("./types.js").State} State */

/** Rows of all that is on the table, in my order; what is left out comes last, without a rank. @param {State} state */
export function rows(state) {
  const mine = ranks(state.mine);
  const metric = new Map(metricOrder(state, "profile").map((id, index) => [id, index + 1]));
  const base = new Map(metricOrder(state, "lpips").map((id, index) => [id, index + 1]));
  return [...state.mine.ids, ...state.mine.out].flatMap((id) => {
    const shot = state.shots.find((one) => one.id === id);
    const score = state.scores.get(id);
    if (shot === undefined) return [];
    return [
      {
        name: shot.name,
        my_rank: mine.get(id) ?? null,
        metric_rank: metric.get(id) ?? null,
        distance: score?.distance ?? null,
        lpips_rank: base.get(id) ?? null,
        lpips_distance: score?.base ?? null,
        prompt: shot.prompt,
        step: shot.step,
        sha256: shot.sha?.replace("sha256:", "") ?? null,
      },
    ];
  });
}

/** @param {State} state */
export function asJson(state) {
  const { target, profile, mine, lesson, session } = state;
  const whole = {
    format: "clpips-session-1",
    at: new Date().toISOString(),
    session: session?.id ?? null,
    target: target && { name: target.name, sha256: target.sha?.replace("sha256:", "") ?? null },
    profile: { name: profile.name, version: profile.version },
    said: mine.said === "top" ? { top: mine.top } : mine.said,
    candidates: rows(state),
    lesson,
  };
  return JSON.stringify(whole, null, 2);
}

/** @param {State} state */
export function asCsv(state) {
  const found = rows(state);
  const [first] = found;
  if (first === undefined) return "";
  const lines = found.map((row) => Object.values(row).map(cell).join(","));
  return [Object.keys(first).join(","), ...lines].join("\r\n") + "\r\n";
}

/** A value as a cell; text that a spreadsheet would take for a formula is kept from that by an apostrophe.
 * @param {string | number | null} value */
function cell(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Hand a file to the person. @param {Blob | string} content @param {string} name @param {string} [type] */
export function save(content, name, type = "application/octet-stream") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
