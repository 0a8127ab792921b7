/** Look closely: the target and a candidate at full size, side by side, by swipe, by blink, or with a heat map. */

import { Problem } from "./api.js";
import { find, h, put } from "./dom.js";
import { drawMap, layerChoices, showShares, told } from "./heat.js";
import { icon } from "./icons.js";
import { draw } from "./pictures.js";
import { metricName } from "./store.js";
import { Zoom } from "./zoom.js";

/** @typedef {"side" | "swipe" | "blink" | "heat"} Mode */
/** @type {[Mode, string][]} */
const MODES = [
  ["side", "Side by side"],
  ["swipe", "Swipe"],
  ["blink", "Blink"],
  ["heat", "Heat map"],
];
const BLINK_MILLISECONDS = 700; // well below three flashes a second

export class Viewer {
  /** @param {import("./store.js").Store} store @param {() => import("./source.js").Source} source
   * @param {(id: string) => void} takeAsTarget */
  constructor(store, source, takeAsTarget) {
    this.store = store;
    this.source = source;
    this.takeAsTarget = takeAsTarget;
    this.dialog = find("#viewer", HTMLDialogElement);
    this.canvases = { target: h("canvas", { role: "img" }), candidate: h("canvas", { role: "img" }), heat: h("canvas", { class: "heat", role: "img", "aria-label": "Heat map" }) };
    this.tag = h("span", { class: "tag" });
    this.stage = h(
      "div",
      { class: "stage" },
      h("div", { class: "pane target" }, this.canvases.target, h("span", { class: "tag" }, "target")),
      h("div", { class: "pane candidate" }, this.canvases.candidate, this.canvases.heat, this.tag),
    );
    this.zoom = new Zoom(this.stage);
    this.title = h("h2", { id: "viewer-title" });
    this.controls = h("div", { class: "controls" });
    this.shares = h("div", { class: "about" });
    /** @type {Mode} */
    this.mode = "side";
    this.shot = "";
    this.layer = "";
    this.layers = 0; // of the backbone, once a map has told
    this.layerMenu = h("select", { onchange: (event) => ((this.layer = event.target.value), void this.heat()) });
    this.showLayers();
    this.turn = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.blinking = undefined;
    put(this.dialog, this.head(), this.stage, h("footer", {}, this.controls, this.shares));
    this.dialog.addEventListener("close", () => this.still());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
  }

  head() {
    const modes = MODES.map(([mode, words]) =>
      h("label", {}, h("input", { type: "radio", name: "mode", value: mode, checked: mode === "side", onchange: () => this.change(mode) }), h("span", {}, words)),
    );
    const press = (/** @type {string} */ words, /** @type {Parameters<typeof icon>[0]} */ drawn, /** @type {() => void} */ onclick) =>
      h("button", { type: "button", title: words, "aria-label": words, onclick }, icon(drawn));
    const target = () => {
      this.dialog.close();
      this.takeAsTarget(this.shot);
    };
    return h(
      "header",
      {},
      h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "How to compare"), ...modes),
      this.title,
      h("div", { class: "row" }, this.store.state.session === null && press("Make this the target", "target", target), press("The one before", "earlier", () => this.step(-1)), press("The next one", "later", () => this.step(1)), press("Close", "close", () => this.dialog.close())),
    );
  }

  /** @param {string} id */
  async open(id) {
    if (!this.dialog.open) this.dialog.showModal();
    this.zoom.reset();
    await this.load(id);
  }

  /** @param {string} id */
  async load(id) {
    this.shot = id;
    const turn = (this.turn += 1);
    const { target } = this.store.state;
    const shot = this.store.shot(id);
    if (target === null || shot === undefined) return;
    put(this.title, shot.name);
    put(this.tag, shot.name);
    this.canvases.candidate.setAttribute("aria-label", shot.name);
    this.canvases.target.setAttribute("aria-label", `Target: ${target.name}`);
    for (const [canvas, one] of /** @type {const} */ ([[this.canvases.target, target], [this.canvases.candidate, shot]])) {
      const bytes = await this.source().bytes(one);
      if (turn !== this.turn) return;
      canvas.classList.toggle("gone", bytes === null || !(await draw(canvas, bytes)));
    }
    if (turn === this.turn) this.change(this.mode);
  }

  /** @param {number} by */
  step(by) {
    const { ids } = this.store.state.mine;
    const next = ids[(ids.indexOf(this.shot) + by + ids.length) % ids.length];
    if (next !== undefined) void this.load(next);
  }

  /** @param {Mode} mode */
  change(mode) {
    this.mode = mode;
    this.still();
    this.stage.dataset["mode"] = mode;
    this.stage.dataset["face"] = "candidate";
    put(this.shares);
    put(this.controls, ...this.controlsOf(mode), h("div", { class: "row zoom" }, this.zoomButton("−", "Further away", 1 / 1.5), this.zoomButton("+", "Nearer", 1.5)));
    if (mode === "blink") this.blink();
    if (mode === "heat") void this.heat();
  }

  /** @param {Mode} mode @returns {(HTMLElement)[]} */
  controlsOf(mode) {
    if (mode === "swipe") return [this.slider("Where the target ends", "--cut", 50)];
    if (mode === "heat") {
      return [this.slider("Opacity of the map", "--opacity", 60), h("label", { class: "field" }, "Where", this.layerMenu)];
    }
    if (mode !== "blink") return [];
    const pause = h("button", { type: "button", onclick: () => (this.blinking === undefined ? this.blink() : this.still(), put(pause, this.blinking === undefined ? "Blink" : "Pause")) }, "Pause");
    return [pause, h("button", { type: "button", onclick: () => (this.still(), put(pause, "Blink"), this.flip()) }, "Flip")];
  }

  /** @param {string} words @param {string} name @param {number} from */
  slider(words, name, from) {
    this.stage.style.setProperty(name, String(from / 100));
    return h("label", { class: "field wide" }, words, h("input", { type: "range", min: 0, max: 100, value: from, oninput: (event) => this.stage.style.setProperty(name, String(event.target.value / 100)) }));
  }

  /** @param {string} text @param {string} words @param {number} factor */
  zoomButton(text, words, factor) {
    return h("button", { type: "button", "aria-label": words, title: words, onclick: () => this.zoom.by(factor) }, text);
  }

  blink() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return; // Flip does it by hand
    this.blinking = setInterval(() => this.flip(), BLINK_MILLISECONDS);
  }

  flip() {
    this.stage.dataset["face"] = this.stage.dataset["face"] === "target" ? "candidate" : "target";
  }

  still() {
    clearInterval(this.blinking);
    this.blinking = undefined;
  }

  async heat() {
    const shot = this.store.shot(this.shot);
    if (shot === undefined) return;
    const { turn } = this;
    const profile = this.store.state.shown === "lpips" ? "lpips" : this.store.state.profile.name;
    const options = { profile, upsample: "bilinear", ...(this.layer ? { layer: Number(this.layer) } : {}) };
    try {
      const answer = await this.source().heat(shot, options);
      const map = await answer.blob();
      if (turn !== this.turn || this.mode !== "heat") return;
      await drawMap(this.canvases.heat, map, this.canvases.candidate);
      const beside = told(answer);
      showShares(this.shares, beside);
      if (beside.layers !== this.layers) {
        this.layers = beside.layers;
        this.showLayers();
      }
      this.canvases.heat.setAttribute("aria-label", `Where ${metricName(this.store.state)} sees a difference`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      put(this.shares, h("p", { class: "fault", role: "alert" }, error.message));
    }
  }

  showLayers() {
    put(this.layerMenu, ...layerChoices(this.layers).map(([value, words]) => h("option", { value, selected: value === this.layer }, words)));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.target instanceof HTMLSelectElement) return;
    if (event.target instanceof HTMLInputElement && event.key.startsWith("Arrow")) return; // of a slider, or the modes
    const acts = /** @type {Record<string, () => void>} */ ({
      ArrowLeft: () => (this.zoom.zoom > 1 ? this.zoom.pan(0.1, 0) : this.step(-1)),
      ArrowRight: () => (this.zoom.zoom > 1 ? this.zoom.pan(-0.1, 0) : this.step(1)),
      ArrowUp: () => this.zoom.pan(0, 0.1),
      ArrowDown: () => this.zoom.pan(0, -0.1),
      "+": () => this.zoom.by(1.5),
      "-": () => this.zoom.by(1 / 1.5),
      "0": () => this.zoom.reset(),
    });
    const act = acts[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  }
}
