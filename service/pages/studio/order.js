/**
 * A person's order of the candidates: moves, ties, what is left out. Pure functions; an order never changes in place.
 *
 * @typedef {import("./types.js").Order} Order
 * @typedef {import("./types.js").Said} Said
 */

/**
 * @param {readonly string[]} ids the most similar first
 * @returns {Order}
 */
export function orderOf(ids) {
  return { ids, tied: new Set(), out: [], said: "order", top: 3 };
}

/** The order with a candidate at another place; it leaves its tie, and those that were tied to it keep theirs.
 * @param {Order} order @param {string} id @param {number} place counted from 0 without the candidate itself
 * @returns {Order} */
export function moved(order, id, place) {
  const ids = order.ids.filter((other) => other !== id);
  const bounded = Math.max(0, Math.min(place, ids.length));
  const tied = without(order, id);
  const next = ids[bounded];
  if (next !== undefined && tied.has(next)) tied.add(id); // put between two that are alike
  ids.splice(bounded, 0, id);
  return { ...order, ids, tied: headless(ids, tied), said: order.said === "best" ? "order" : order.said };
}

/** The order in which a candidate shares the rank of the one before it, or no longer does.
 * @param {Order} order @param {string} id @returns {Order} */
export function tieToggled(order, id) {
  const tied = new Set(order.tied);
  if (!tied.delete(id)) tied.add(id);
  return { ...order, tied: headless(order.ids, tied), said: order.said === "best" ? "order" : order.said };
}

/** The order with this candidate first, and nothing said of the rest.
 * @param {Order} order @param {string} id @returns {Order} */
export function best(order, id) {
  const first = moved(order, id, 0);
  const tied = new Set(first.tied);
  tied.delete(first.ids[1] ?? "");
  return { ...first, tied, said: "best" };
}

/** @param {Order} order @param {string} id @returns {Order} */
export function leftOut(order, id) {
  const ids = order.ids.filter((other) => other !== id);
  return { ...order, ids, tied: headless(ids, without(order, id)), out: [...order.out, id] };
}

/** @param {Order} order @param {string} id @param {number} place @returns {Order} */
export function broughtBack(order, id, place) {
  const there = { ...order, out: order.out.filter((other) => other !== id) };
  return moved({ ...there, ids: [...there.ids, id] }, id, place);
}

/** The order of exactly these candidates: those that are gone leave it, and new ones come in where `metric` has them.
 * @param {Order} order @param {readonly string[]} metric the most similar first @returns {Order} */
export function following(order, metric) {
  const present = new Set(metric);
  const kept = order.ids.filter((id) => present.has(id));
  const out = order.out.filter((id) => present.has(id));
  const known = new Set([...kept, ...out]);
  const ids = [...kept];
  metric.forEach((id, place) => {
    if (known.has(id)) return;
    const before = new Set(metric.slice(0, place));
    let at = 0;
    ids.forEach((other, index) => {
      if (before.has(other)) at = index + 1;
    });
    ids.splice(at, 0, id);
  });
  const tied = new Set([...order.tied].filter((id) => present.has(id)));
  return { ...order, ids, out, tied: headless(ids, tied) };
}

/** The rank of each candidate that is not left out, 1 for the most similar; those that are alike share one.
 * @param {Order} order @returns {Map<string, number>} */
export function ranks(order) {
  /** @type {Map<string, number>} */
  const found = new Map();
  let rank = 0;
  order.ids.forEach((id, index) => {
    if (!order.tied.has(id)) rank = index + 1;
    found.set(id, rank);
  });
  return found;
}

/** What the service is told of candidates that it knows by their places in `ids`.
 * @param {Order} order @param {readonly string[]} ids as they stand in the comparison, none of them left out
 * @returns {{ranks: number[]} | {best: number} | {top: number[]}} */
export function told(order, ids) {
  const places = new Map(ids.map((id, index) => [id, index]));
  const listed = order.ids.filter((id) => places.has(id));
  const place = (/** @type {string} */ id) => /** @type {number} */ (places.get(id));
  if (order.said === "best" && listed[0] !== undefined) return { best: place(listed[0]) };
  if (order.said === "top" && order.top < listed.length) return { top: listed.slice(0, order.top).map(place) };
  const rank = ranks(order);
  return { ranks: ids.map((id) => rank.get(id) ?? ids.length) };
}

/** Whether the order says anything: two candidates at least, that are not all alike.
 * @param {Order} order */
export function saysSomething(order) {
  return order.ids.length > 1 && order.tied.size < order.ids.length - 1;
}

/** @param {Order} order @param {string} id */
function without(order, id) {
  const tied = new Set(order.tied);
  const next = order.ids[order.ids.indexOf(id) + 1];
  if (!tied.delete(id) && next !== undefined) tied.delete(next); // it led its tie: the next one leads it now
  return tied;
}

/** Nobody is tied to what is before the first. @param {readonly string[]} ids @param {Set<string>} tied */
function headless(ids, tied) {
  tied.delete(ids[0] ?? "");
  return tied;
}
