/** Send my order: how much of it I mean, whom it teaches, and what was learned. */

import { announce } from "./announce.js";
import { askJson, Problem } from "./api.js";
import { find, h, put } from "./dom.js";
import { reveal } from "./motion.js";
import { ranks } from "./order.js";
import { metricName } from "./store.js";
import { lessonNumbers, lessonWords } from "./words.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9._@\\-]{0,127}";

export class Teach {
  /** @param {import("./store.js").Store} store @param {import("./mine.js").Mine} mine
   * @param {() => import("./source.js").Source} source @param {import("./profiles.js").Profiles} profiles
   * @param {() => void} ask @param {() => void} another begins with another target's pictures */
  constructor(store, mine, source, profiles, ask, another) {
    this.store = store;
    this.mine = mine;
    this.source = source;
    this.profiles = profiles;
    this.askNext = ask;
    this.another = another;
    this.hint = find("#hint", HTMLElement);
    this.form = find("#teach", HTMLFormElement);
    this.result = find("#lesson", HTMLElement);
    this.name = h("input", { id: "teach-name", name: "name", required: true, pattern: NAME, maxlength: 128, value: "my-eye", autocomplete: "off", spellcheck: "false", title: "Letters, digits and . _ @ -" });
    this.newName = h("label", { class: "field" }, "Name of your profile", this.name);
    this.said = h("select", { id: "said", onchange: () => this.mean() });
    this.saidField = h("label", { class: "field" }, "I mean", this.said);
    this.button = h("button", { class: "primary", id: "teach-button" });
    this.fault = h("p", { class: "fault", role: "alert" });
    this.note = h("p", { class: "muted" });
    put(this.form, this.newName, this.saidField, this.button, this.note, this.fault);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.teach();
    });
    this.busy = false;
    store.listen((state, before) => {
      this.show();
      if (state.lesson !== before.lesson) this.tell();
    });
  }

  show() {
    const { profile, mine, session } = this.store.state;
    this.form.hidden = mine.ids.length < 2 || session?.ended === true;
    this.newName.hidden = profile.taught || session !== null;
    this.name.disabled = this.newName.hidden;
    const counts = [2, 3, 5, 10].filter((count) => count < mine.ids.length);
    const key = `${mine.ids.length}`;
    if (this.said.dataset["key"] !== key) {
      this.said.dataset["key"] = key;
      put(
        this.said,
        h("option", { value: "order" }, "the whole order"),
        h("option", { value: "best" }, "only that the first is the best"),
        ...counts.map((count) => h("option", { value: String(count) }, `only that these ${count} come first, in this order`)),
      );
    }
    const wanted = mine.said === "top" ? String(mine.top) : mine.said;
    if (this.said.value !== wanted) this.said.value = wanted;
    this.saidField.hidden = mine.ids.length < 3;
    const words = this.busy ? "Learning …" : profile.taught ? `Teach ${profile.name} my order` : session === null ? "Teach my order" : "Keep my order";
    if (this.button.textContent !== words) put(this.button, words);
    this.showHint(words);
    this.button.setAttribute("aria-disabled", String(this.busy || !this.mine.canTeach));
  }

  /** What to do next, until it is done. @param {string} press what the button says */
  showHint(press) {
    const { state } = this.store;
    const step = this.form.hidden || state.lesson !== null || this.busy ? "" : state.touched ? press : `drag ${metricName(state)}`;
    if (this.hint.dataset["step"] === step) return;
    this.hint.dataset["step"] = step;
    if (step === "") put(this.hint);
    else if (state.touched) put(this.hint, "Is this how you see them? Then press ", h("em", {}, press), ".");
    else put(this.hint, `This is how ${metricName(state)} has them. `, h("span", { class: "by-pointer" }, "Drag them into the order that you see, the most like the target first."), h("span", { class: "by-finger" }, "Hold one and drag it, or press it for its arrows: the most like the target first."));
  }

  mean() {
    const { value } = this.said;
    const { top } = this.store.state.mine;
    if (value === "order" || value === "best") this.mine.mean(value, top);
    else this.mine.mean("top", Number(value));
  }

  async teach() {
    if (this.busy || !this.mine.canTeach) return;
    await this.learn(async () => {
      if (!this.store.state.profile.taught && this.store.state.session === null) await this.profiles.make(this.name.value, this.store.state.profile.name);
      return this.source().teach();
    });
  }

  /** Have a lesson taken in, and show what came of it. @param {() => Promise<import("./source.js").Taught>} taught */
  async learn(taught) {
    this.busy = true;
    put(this.fault);
    this.show();
    try {
      const { lesson: learned, note } = await taught();
      put(this.note, note && `Your order is kept. Nothing was taught: ${note}.`);
      this.store.set({ lesson: learned, ...(learned ? { profile: { ...this.store.state.profile, version: learned.version } } : {}) });
      await this.source().rank();
      if (this.store.state.session === null) await this.profiles.refresh();
      this.store.tell();
      if (learned) reveal(this.result, "nearest"); // on a phone it is below the pictures
      if (learned) announce([lessonWords(learned).title, ...lessonWords(learned).text].join(". "));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      put(this.fault, error.message);
    } finally {
      this.busy = false;
      this.show();
    }
  }

  /** What was learned. */
  tell() {
    const { lesson } = this.store.state;
    if (lesson === null) {
      put(this.result);
      return;
    }
    const { title, text } = lessonWords(lesson);
    const path = `profiles/${encodeURIComponent(lesson.profile)}`;
    const forget = () => this.learn(() => this.source().forget(lesson));
    const take = () =>
      this.learn(async () => {
        await askJson(`${path}/rollback`, { method: "POST", json: { version: lesson.proposed } });
        return { lesson: null, note: null };
      });
    put(
      this.result,
      h("h2", {}, title),
      ...text.map((sentence) => h("p", {}, sentence)),
      h(
        "div",
        { class: "row" },
        lesson.ranking !== undefined && this.store.state.session === null && h("button", { type: "button", onclick: () => this.another() }, "Next target"),
        lesson.ranking !== undefined && h("button", { type: "button", onclick: forget }, "Forget this"),
        lesson.proposed !== null && this.store.state.session === null && h("button", { type: "button", onclick: take }, "Use it anyway"),
        ranks(this.store.state.mine).size > 2 && h("button", { type: "button", onclick: () => this.askNext() }, "Ask me about two"),
      ),
      h("details", {}, h("summary", {}, "The numbers"), h("dl", {}, ...lessonNumbers(lesson).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
    );
  }
}
