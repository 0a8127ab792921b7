/**
 * A session that a tool feeds: its pictures and its order are the service's, and are seen here as they change.
 *
 * @typedef {import("./types.js").Shot} Shot
 * @typedef {import("./types.js").Scored} Scored
 */

import { announce } from "./announce.js";
import { ask, askJson, Problem } from "./api.js";
import { watch } from "./events.js";
import { ranks } from "./order.js";
import { thumbnailOf } from "./pictures.js";
import { isShipped } from "./profiles.js";
import { follow } from "./scoring.js";

const FETCHERS = 4; // thumbnails at a time

export class Session {
  /** @param {import("./store.js").Store} store @param {import("./mine.js").Mine} mine @param {string} id */
  constructor(store, mine, id) {
    this.store = store;
    this.mine = mine;
    this.path = `sessions/${encodeURIComponent(id)}`;
    this.revision = 0;
    /** @type {string | null} when the order was sent that is known here */
    this.known = null;
    /** @type {Map<number, File>} pictures that this page has added, by their places in the session */
    this.files = new Map();
    /** @type {number[]} places whose thumbnails are still to be fetched; -1 is the target */
    this.wanted = [];
    this.fetching = 0;
    /** @type {Promise<void>} */
    this.adding = Promise.resolve();
    store.set({ session: { id, live: false, title: "" } });
  }

  /** Show the session, and go on showing it. */
  async open() {
    const tell = () => void this.rank().catch(() => {}); // the next event, or the next connection, asks again
    try {
      await this.rank();
      await watch(`${this.path}/events`, this.revision, ({ event }) => (event === "deleted" ? this.end() : tell()), (live) => this.live(live));
    } catch (error) {
      if (!(error instanceof Problem && [401, 403, 404].includes(error.status))) throw error;
      this.end();
    }
  }

  /** Take in how the session is now. */
  async rank() {
    const [state, base] = await Promise.all([askJson(this.path), askJson(`${this.path}?profile=lpips`)]);
    if (state.revision < this.revision) return;
    this.take(state, base);
  }

  /** @param {any} state @param {any} base the same by plain LPIPS */
  take(state, base) {
    const before = this.store.state;
    const fresh = state.candidates.length - before.shots.length;
    const plain = new Map(base.candidates.map((/** @type {any} */ one) => [one.index, one.distance]));
    const shots = state.candidates.map((/** @type {any} */ one) => this.shotOf(one, before.shots[one.index]));
    /** @type {Map<string, Scored>} */
    const scores = new Map(state.candidates.map((/** @type {any} */ one) => [`s${one.index}`, { distance: one.distance, base: plain.get(one.index) ?? Number.NaN }]));
    const target = before.target ?? this.shotOf({ index: -1, sha256: state.target.sha256, prompt: null, step: null }, undefined);
    if (before.target === null && state.target.thumbnail) this.wanted.unshift(-1);
    const { name, version } = state.profile;
    this.store.set({ target, shots, scores, profile: { name, version, taught: !isShipped(name) }, session: { id: state.session, live: before.session?.live ?? false, title: state.title } });
    if (state.order !== null && state.order.at !== this.known) this.takeOrder(state.order, before.touched && this.revision > 0);
    follow(this.store);
    if (this.revision > 0 && fresh > 0) announce(fresh === 1 ? "A new picture" : `${fresh} new pictures`);
    this.revision = state.revision;
    for (const one of state.candidates) if (one.thumbnail && shots[one.index].thumbnail === null && !this.wanted.includes(one.index)) this.wanted.push(one.index);
    this.fetchThumbnails();
  }

  /** Somebody's order, which may be mine of before. @param {{ranks: Record<string, number>, kind: import("./types.js").Said, at: string}} order @param {boolean} replaces */
  takeOrder({ ranks: given, kind, at }, replaces) {
    this.known = at;
    const rows = Object.entries(given).sort(([, a], [, b]) => a - b);
    const ids = rows.map(([index]) => `s${index}`);
    const tied = new Set(kind === "order" ? ids.filter((_, place) => place > 0 && rows[place]?.[1] === rows[place - 1]?.[1]) : []);
    const lowest = Math.max(...rows.map(([, rank]) => rank));
    const top = kind === "top" ? rows.filter(([, rank]) => rank < lowest).length : this.store.state.mine.top;
    const before = this.store.state;
    const out = kind === "order" ? before.shots.map((shot) => shot.id).filter((id) => !ids.includes(id)) : [];
    if (replaces) {
      this.mine.history.remember(this.mine.now());
      announce("The order has been changed elsewhere; Undo brings yours back");
    }
    this.store.set({ mine: { ids, tied, out, said: kind, top }, touched: true });
  }

  /** @param {any} one @param {Shot | undefined} before @returns {Shot} */
  shotOf({ index, sha256, prompt, step }, before) {
    const file = this.files.get(index) ?? null;
    const name = index === -1 ? "Target" : (prompt ?? file?.name ?? `Picture ${index + 1}`);
    if (before !== undefined && before.sha === sha256) return before.file === file ? before : { ...before, name, file }; // an event may come before the answer
    return { id: `s${index}`, name, file, thumbnail: null, sha: sha256, fault: null, prompt, step, index };
  }

  /** The JSON that the session answers. Raises `Problem`. @param {string} path @param {import("./api.js").Asked} [asked] @returns {Promise<any>} */
  async askSession(path, asked) {
    return (await this.answer(path, asked)).json();
  }

  /** Ask something of the session; where it is not open any more, the page says so. Raises `Problem`.
   * @param {string} path @param {import("./api.js").Asked} [asked] */
  async answer(path, asked) {
    try {
      return await ask(`${this.path}/${path}`, asked);
    } catch (error) {
      if (!(error instanceof Problem) || !(error.status === 401 || error.is("session-not-found"))) throw error;
      this.end();
      throw new Problem(error.status, error.type, "this session is not open any more");
    }
  }

  /** Send pictures, one request at a time: what an earlier one has brought is known then. @param {File[]} files */
  add(files) {
    const sent = this.adding.then(() => this.send(files));
    this.adding = sent.catch(() => {});
    return sent;
  }

  /** @param {File[]} files */
  async send(files) {
    const form = new FormData();
    for (const file of files) form.append("candidates", file, "picture");
    const since = this.store.state.shots.length; // where an answer is lost, and it is asked again, none comes twice
    const state = await this.askSession(`candidates?since=${since}`, { method: "POST", body: form });
    // Where a tool has sent some meanwhile, it is not known which are these: their thumbnails come from the service.
    if (state.candidates.length - since === files.length) files.forEach((file, place) => this.files.set(since + place, file));
    await this.rank();
  }

  async teach() {
    const { mine } = this.store.state;
    const { state, taught, reason } = await this.askSession("order", { method: "PUT", json: said(mine) });
    this.known = state.order?.at ?? null;
    return { lesson: taught, note: reason };
  }

  async forget() {
    const { forgotten, reason } = await this.askSession("order", { method: "DELETE" });
    this.known = null;
    return { lesson: forgotten, note: reason };
  }

  async suggest() {
    const { pair, reason } = await this.askSession("suggest");
    const [first, second] = (pair ?? []).map((/** @type {number} */ index) => this.store.shot(`s${index}`));
    /** @type {[Shot, Shot] | null} */
    const both = first && second ? [first, second] : null;
    return { pair: both, reason };
  }

  /** An answer about two goes into my order: the nearer one comes just before the other. @param {Shot} nearer @param {Shot} other */
  async teachPair(nearer, other) {
    const { ids } = this.store.state.mine;
    if (ids.indexOf(nearer.id) > ids.indexOf(other.id)) this.mine.move(nearer.id, ids.indexOf(other.id));
    return this.teach();
  }

  /** @param {Shot} shot @returns {Promise<Blob | null>} */
  async bytes(shot) {
    if (shot.file !== null) return shot.file;
    if (shot.thumbnail === null) return null;
    return (await ask(`${this.path}/images/${shot.index === -1 ? "target" : shot.index}`)).blob();
  }

  /** @param {Shot} shot @param {Record<string, unknown>} options */
  async heat(shot, options) {
    const query = new URLSearchParams({ candidate: String(shot.index) });
    for (const [name, value] of Object.entries(options)) query.set(name, String(value));
    try {
      return await this.answer(`heatmap?${query}`, { target: this.store.state.target?.sha ?? undefined });
    } catch (error) {
      if (!(error instanceof Problem) || !error.is("images-not-held")) throw error;
      throw new Problem(409, error.type, "The service no longer holds what it needs for a heat map of these two pictures: the tool that feeds the session can send them again");
    }
  }

  async swapTarget() {}

  async remove() {}

  fetchThumbnails() {
    while (this.fetching < FETCHERS && this.wanted.length > 0) {
      const index = /** @type {number} */ (this.wanted.shift());
      this.fetching += 1;
      void this.fetchThumbnail(index).finally(() => {
        this.fetching -= 1;
        this.fetchThumbnails();
      });
    }
  }

  /** @param {number} index */
  async fetchThumbnail(index) {
    try {
      const answer = await ask(`${this.path}/images/${index === -1 ? "target" : index}`);
      this.store.change(`s${index}`, { thumbnail: await thumbnailOf(await answer.blob()) });
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // where it is gone, the placeholder stays
    }
  }

  /** @param {boolean} live */
  live(live) {
    const { session } = this.store.state;
    if (session !== null && session.live !== live) this.store.set({ session: { ...session, live } });
  }

  end() {
    const { session } = this.store.state;
    if (session === null || session.ended) return;
    announce("The session is not open any more");
    this.store.set({ session: { ...session, live: false, ended: true } });
  }
}

/** My order as the session takes it: places in the session, those that are tied in lists of their own.
 * @param {import("./types.js").Order} mine */
function said(mine) {
  const places = mine.ids.map((id) => Number(id.slice(1)));
  if (mine.said === "best") return { best: places[0] };
  if (mine.said === "top" && mine.top < places.length) return { top: places.slice(0, mine.top) };
  /** @type {Map<number, number[]>} */
  const groups = new Map();
  for (const [id, rank] of ranks(mine)) groups.set(rank, [...(groups.get(rank) ?? []), Number(id.slice(1))]);
  return { order: [...groups.values()].map((group) => (group.length === 1 ? group[0] : group)) };
}
