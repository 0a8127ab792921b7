/** Profiles: choose one, make one, carry weights and rankings away and back, look at the history, go back in it. */

import { announce } from "./announce.js";
import { ask, askJson, Problem } from "./api.js";
import { find, h, put } from "./dom.js";
import { save } from "./exports.js";
import { chooseFiles } from "./intake.js";
import { plot } from "./plot.js";
import { percent } from "./words.js";

/** @typedef {import("./types.js").Summary} Summary */
/** @typedef {import("./types.js").Version} Version */

const SHIPPED = /** @type {Record<string, string>} */ ({ lpips: "plain LPIPS, as published", balanced: "where a new profile begins", "clpips-materials": "learned from people’s judgments of materials" });
/** Whether a profile is the service's own, which nobody teaches. @param {string} name */
export function isShipped(name) {
  return name in SHIPPED;
}

const REMEMBERED = "clpips-profile";

export class Profiles {
  /** @param {import("./store.js").Store} store @param {() => import("./source.js").Source} source */
  constructor(store, source) {
    this.store = store;
    this.source = source;
    /** @type {Summary[]} */
    this.all = [];
    /** @type {string[]} */
    this.shipped = ["balanced", "lpips"];
    this.dialog = find("#profiles", HTMLDialogElement);
    this.fault = h("p", { class: "fault", role: "alert" });
    this.button = find("#profile", HTMLButtonElement);
    this.button.addEventListener("click", () => void this.open());
    store.listen(({ profile }) => put(this.button, h("span", { class: "label" }, "Profile"), h("span", { class: "value" }, profile.name), profile.taught && h("span", { class: "version" }, `v${profile.version}`)));
  }

  /** Take up the profile that was used last here, where it is still there. */
  async start() {
    await this.refresh();
    const last = localStorage.getItem(REMEMBERED);
    const there = this.all.find((one) => one.name === last);
    if (there) this.store.set({ profile: { name: there.name, version: there.version, taught: true } });
  }

  async refresh() {
    const found = await askJson("profiles?limit=1000");
    this.all = found.profiles;
    this.shipped = found.shipped;
    if (this.dialog.open) await this.show();
  }

  /** Make a profile, and use it; one that is there already is used. Raises `Problem`, also for a name of the service's own.
   * @param {string} name @param {string} parent */
  async make(name, parent) {
    if (this.shipped.includes(name)) throw new Problem(409, "", `${name} is the service’s own, and nobody teaches it: give yours another name`);
    try {
      await askJson("profiles", { method: "POST", json: { name, parent } });
    } catch (error) {
      if (!(error instanceof Problem) || !error.is("profile-exists")) throw error;
    }
    await this.refresh();
    await this.choose(name);
  }

  /** @param {string} name */
  async choose(name) {
    const there = this.all.find((one) => one.name === name);
    this.store.set({ profile: { name, version: there?.version ?? 1, taught: there !== undefined }, lesson: null, comparison: null });
    if (there) localStorage.setItem(REMEMBERED, name);
    else localStorage.removeItem(REMEMBERED);
    announce(`Profile ${name}`);
    if (this.dialog.open) await this.show();
    await this.source().rank();
  }

  async open() {
    put(this.fault);
    this.dialog.showModal();
    await this.try(() => this.refresh());
  }

  async show() {
    const { profile } = this.store.state;
    const detail = profile.taught ? await askJson(`profiles/${encodeURIComponent(profile.name)}`) : null;
    const name = h("input", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._@\\-]{0,127}", maxlength: 128, autocomplete: "off", spellcheck: "false", title: "Letters, digits and . _ @ -" });
    const parent = h("select", { name: "parent" }, ...["balanced", ...this.shipped.filter((one) => one !== "balanced"), ...this.all.map((one) => one.name)].map((one) => h("option", { value: one }, one)));
    const make = (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.try(() => this.make(name.value, parent.value));
    };
    put(
      this.dialog,
      h("header", {}, h("h2", { id: "profiles-title" }, "Profiles"), h("form", { method: "dialog" }, h("button", {}, "Done"))),
      this.fault,
      h("ul", { class: "choices" }, ...this.all.map((one) => this.choice(one.name, `version ${one.version} · ${one.rankings} ${one.rankings === 1 ? "ranking" : "rankings"}`)), ...this.shipped.map((one) => this.choice(one, SHIPPED[one] ?? "ships with the service"))),
      h("form", { class: "row", onsubmit: make }, h("label", { class: "field" }, "A new one", name), h("label", { class: "field" }, "begins as", parent), h("button", {}, "Make")),
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => this.bring() }, "Import weights …"), ...this.carrying(profile)),
      detail && this.history(detail),
    );
  }

  /** @param {string} name @param {string} about */
  choice(name, about) {
    const chosen = this.store.state.profile.name === name;
    const choose = () => void this.try(() => this.choose(name));
    return h("li", {}, h("button", { type: "button", "aria-pressed": String(chosen), onclick: choose }, h("b", {}, name), h("span", {}, about)));
  }

  /** @param {import("./types.js").Chosen} profile */
  carrying({ name, taught }) {
    const path = `profiles/${encodeURIComponent(name)}`;
    const carry = (/** @type {string} */ what, /** @type {string} */ file) => () => void this.try(async () => save(await (await ask(`${path}/${what}`)).blob(), file));
    return [
      h("button", { type: "button", onclick: carry("weights", `${name}.safetensors`) }, "Export weights"),
      taught && h("button", { type: "button", onclick: carry("rankings", `${name}.jsonl`) }, "Export rankings"),
      taught && h("button", { type: "button", onclick: (/** @type {Event} */ event) => this.beginAgain(event, name) }, "Begin again"),
    ];
  }

  /** Weights that come from a file become a profile of the file's name. */
  bring() {
    chooseFiles({ many: false, accept: ".safetensors" }, ([file]) => {
      if (file === undefined) return;
      const name = file.name.replace(/(-v\d+)?\.safetensors$/, "").replace(/[^A-Za-z0-9._@-]/g, "-").replace(/^[^A-Za-z0-9]+/, "") || "imported";
      void this.try(async () => {
        await ask(`profiles/${encodeURIComponent(name)}/weights`, { method: "PUT", body: file });
        await this.refresh();
        await this.choose(name);
      });
    });
  }

  /** The second press begins again; the first says what that means. @param {Event} event @param {string} name */
  beginAgain(event, name) {
    const button = event.currentTarget;
    if (!(button instanceof HTMLButtonElement)) return;
    if (button.dataset["sure"] !== "yes") {
      button.dataset["sure"] = "yes";
      put(button, `Forget all rankings of ${name}?`);
      return;
    }
    void this.try(async () => {
      await askJson(`profiles/${encodeURIComponent(name)}/reset`, { method: "POST" });
      await this.refresh();
      await this.choose(name);
    });
  }

  /** @param {{name: string, versions: Version[], waiting: string | null, unlearned: number}} detail */
  history({ name, versions, waiting }) {
    return h(
      "section",
      { class: "history" },
      h("h3", {}, `How well ${name} knows you`),
      plot(versions) ?? h("p", {}, "There is no version that was learned yet."),
      waiting && h("p", { class: "muted" }, `${waiting}.`),
      h("ol", { class: "versions", reversed: true }, ...versions.map((version) => this.version(name, version))),
    );
  }

  /** @param {string} name @param {Version} version */
  version(name, version) {
    const back = () =>
      void this.try(async () => {
        await askJson(`profiles/${encodeURIComponent(name)}/rollback`, { method: "POST", json: { version: version.number } });
        await this.refresh();
        await this.choose(name);
      });
    const share = version.fit ? `, ${percent(version.fit.agreement.pair_agreement)}` : "";
    return h("li", {}, h("span", {}, `${version.number}: ${version.origin}, ${version.status}${share}`), ["taken", "proposed"].includes(version.status) && h("button", { type: "button", onclick: back }, "Use this"));
  }

  /** Do something of the dialog; what goes wrong is said in it. @param {() => Promise<unknown>} act */
  async try(act) {
    put(this.fault);
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      put(this.fault, error.message);
    }
  }
}
