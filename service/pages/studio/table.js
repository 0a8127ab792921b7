/**
 * The page's own pictures: a target and candidates that are dropped here, and stay here but for scoring.
 *
 * @typedef {import("./types.js").Shot} Shot
 * @typedef {import("./types.js").Lesson} Lesson
 * @typedef {{pair: [Shot, Shot] | null, reason: string}} Suggestion
 */

import { announce } from "./announce.js";
import { ask, askJson, Problem } from "./api.js";
import { looksLikePicture } from "./intake.js";
import { told } from "./order.js";
import { forget, thumbnailOf } from "./pictures.js";
import { follow, Scoring, usable } from "./scoring.js";
import { History } from "./taking-back.js";

let number = 0;

export class Table {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.scoring = new Scoring(store);
    /** @type {History<ReturnType<Table["now"]>>} tables that were cleared */
    this.cleared = new History();
  }

  /** Take pictures in: the first is the target where there is none. @param {File[]} files @param {boolean} onTarget */
  async add(files, onTarget) {
    const { state } = this.store;
    const shots = files.map(shotOf);
    const takesTarget = onTarget || state.target === null;
    const at = takesTarget && !onTarget ? targetAmong(files) : 0;
    const [target] = takesTarget ? shots.splice(at, 1) : [state.target];
    if (takesTarget) this.changeTarget(target ?? null);
    this.store.set({ shots: [...this.store.state.shots, ...shots] });
    const decoded = Promise.all([...(takesTarget && target ? [target] : []), ...shots].map((shot) => this.decode(shot)));
    await Promise.all([decoded, this.scoring.score()]);
  }

  /** Another target: what was scored against the one before says nothing of it. @param {Shot | null} target */
  changeTarget(target) {
    const { state } = this.store;
    if (state.target) forget(state.target.thumbnail);
    this.store.set({ target, scores: new Map(), comparison: null, lesson: null, touched: false });
    follow(this.store);
  }

  /** Make a candidate the target, and the target a candidate. @param {string} id */
  async swapTarget(id) {
    const { target, shots } = this.store.state;
    const chosen = this.store.shot(id);
    if (chosen === undefined || target === null) return;
    const rest = shots.map((shot) => (shot.id === id ? target : shot));
    this.store.set({ target: chosen, shots: rest, scores: new Map(), comparison: null, lesson: null, touched: false });
    follow(this.store);
    await this.scoring.score();
  }

  /** @param {string} id */
  async remove(id) {
    const { shots, scores } = this.store.state;
    forget(this.store.shot(id)?.thumbnail);
    const left = new Map(scores);
    left.delete(id);
    this.store.set({ shots: shots.filter((shot) => shot.id !== id), scores: left, comparison: null });
    follow(this.store);
    await this.scoring.score();
  }

  /** Begin with an empty table; `undo` brings this one back, as long as the page is open. */
  clear() {
    if (this.store.state.target === null) return;
    this.cleared.remember(this.now());
    this.store.set({ target: null, shots: [], scores: new Map(), comparison: null, lesson: null, touched: false });
    follow(this.store);
  }

  /** Bring back the table that was cleared last; what lies there now is for `redo`. */
  undo() {
    return this.restore(this.cleared.back(this.now()), "The table is back");
  }

  redo() {
    return this.restore(this.cleared.forth(this.now()), "The table is taken away again");
  }

  now() {
    const { target, shots, scores, mine, touched } = this.store.state;
    return { target, shots, scores, mine, touched };
  }

  /** Its distances are asked for again: the profile may be another one now, or have learned.
   * @param {ReturnType<Table["now"]> | undefined} before @param {string} words */
  async restore(before, words) {
    if (before === undefined) return;
    this.store.set({ ...before, comparison: null, lesson: null });
    follow(this.store);
    for (const shot of [before.target, ...before.shots]) if (shot !== null && shot.thumbnail === null) void this.decode(shot);
    announce(words);
    await this.scoring.score();
  }

  /** The metric's order by the profile that is chosen now. */
  async rank() {
    await this.scoring.score();
  }

  /** Send my order. @returns {Promise<import("./source.js").Taught>} */
  async teach() {
    const { profile, mine } = this.store.state;
    const said = usable(this.store.state.shots).filter((shot) => !mine.out.includes(shot.id));
    const ids = said.map((shot) => shot.id);
    let comparison = mine.out.length === 0 ? this.store.state.comparison : null;
    for (let tried = 0; ; tried += 1) {
      comparison ??= await this.scoring.rankAll(said);
      try {
        const json = { comparison, ...told(mine, ids) };
        const path = `profiles/${encodeURIComponent(profile.name)}/rankings`;
        return { lesson: await askJson(path, { method: "POST", json }), note: null };
      } catch (error) {
        if (tried > 0 || !(error instanceof Problem) || !error.is("comparison-not-found")) throw error;
        comparison = null; // it has expired
      }
    }
  }

  /** Which two to ask about. @returns {Promise<Suggestion>} */
  async suggest() {
    const { profile, comparison, shots } = this.store.state;
    if (comparison === null) return { pair: null, reason: "the pictures are not in order yet" };
    const path = `profiles/${encodeURIComponent(profile.name)}/suggest?comparison=${encodeURIComponent(comparison)}`;
    const reply = await askJson(path);
    const pair = reply.candidates.map((/** @type {string} */ sha) => shots.find((shot) => shot.sha === sha));
    return { pair: reply.pair === null || pair.includes(undefined) ? null : pair, reason: reply.reason };
  }

  /** Teach that the first is nearer to the target than the second. @param {Shot} nearer @param {Shot} other */
  async teachPair(nearer, other) {
    const { profile, target } = this.store.state;
    const json = { target: target?.sha, candidates: [nearer.sha, other.sha], best: 0 };
    const lesson = await askJson(`profiles/${encodeURIComponent(profile.name)}/rankings`, { method: "POST", json });
    return { lesson, note: null };
  }

  /** @param {Lesson} lesson */
  async forget({ profile, ranking }) {
    const path = `profiles/${encodeURIComponent(profile)}/rankings/${ranking}`;
    return { lesson: await askJson(path, { method: "DELETE" }), note: null };
  }

  /** The bytes of a picture. @param {Shot} shot @returns {Promise<Blob | null>} */
  async bytes(shot) {
    return shot.file;
  }

  /** A heat map: a picture, and what the service says beside it.
   * @param {Shot} shot @param {Record<string, unknown>} options @returns {Promise<Response>} */
  async heat(shot, options) {
    const { target } = this.store.state;
    const json = { target: target?.sha, candidate: shot.sha, ...options };
    try {
      return await ask("heatmap", { method: "POST", json });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409 || !target?.file || !shot.file) throw error;
      const form = new FormData();
      form.append("target", target.file, "picture");
      form.append("candidate", shot.file, "picture");
      for (const [name, value] of Object.entries(options)) form.append(name, String(value));
      return ask("heatmap", { method: "POST", body: form });
    }
  }

  /** @param {Shot} shot */
  async decode(shot) {
    const thumbnail = shot.file === null ? null : await thumbnailOf(shot.file);
    if (this.store.shot(shot.id)) this.store.change(shot.id, { thumbnail });
    else forget(thumbnail);
  }
}

/** The place of the one that is called so, or of the first that looks like a picture: a folder's notes come first at times.
 * @param {File[]} files */
function targetAmong(files) {
  const pictures = files.map(looksLikePicture);
  const named = files.findIndex((file, place) => pictures[place] && /target|reference/i.test(file.name));
  return Math.max(0, named === -1 ? pictures.indexOf(true) : named);
}

/** @param {File} file @returns {Shot} */
function shotOf(file) {
  return { id: `p${(number += 1)}`, name: file.name, file, thumbnail: null, sha: null, fault: null, prompt: null, step: null, index: null };
}
