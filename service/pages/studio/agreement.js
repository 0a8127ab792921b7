/**
 * Agreement of two orders: Kendall's τ-b, the share of pairs that they order alike, and which pairs they do not.
 *
 * @typedef {{before: string, after: string, gap: number}} Difference a pair that I order one way, and the metric the other
 * @typedef {{tau: number | null, alike: number, pairs: number, differences: Difference[]}} Agreement
 */

/**
 * @param {ReadonlyMap<string, number>} ranks mine; equal ranks are ties
 * @param {(id: string) => number} distance the metric's
 * @returns {Agreement} the differences with the widest gap in distance first
 */
export function compare(ranks, distance) {
  const ids = [...ranks.keys()];
  const mine = ids.map((id) => /** @type {number} */ (ranks.get(id)));
  const theirs = ids.map(distance);
  let alike = 0;
  let against = 0;
  let tiedMine = 0;
  let tiedTheirs = 0;
  /** @type {Difference[]} */
  const differences = [];
  for (let i = 0; i < ids.length; i += 1) {
    for (let j = i + 1; j < ids.length; j += 1) {
      const a = Math.sign(/** @type {number} */ (mine[i]) - /** @type {number} */ (mine[j]));
      const gap = /** @type {number} */ (theirs[i]) - /** @type {number} */ (theirs[j]);
      const b = Math.sign(gap);
      if (a === 0) tiedMine += 1;
      if (b === 0) tiedTheirs += 1;
      if (a * b > 0) alike += 1;
      if (a * b < 0) {
        against += 1;
        const [before, after] = a < 0 ? [ids[i], ids[j]] : [ids[j], ids[i]];
        differences.push({ before: String(before), after: String(after), gap: Math.abs(gap) });
      }
    }
  }
  const all = (ids.length * (ids.length - 1)) / 2;
  const norm = Math.sqrt((all - tiedMine) * (all - tiedTheirs));
  differences.sort((a, b) => b.gap - a.gap);
  return { tau: norm ? (alike - against) / norm : null, alike, pairs: all - tiedMine, differences };
}
