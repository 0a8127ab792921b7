/** The studio: parts made, and wired to each other. */

import { leaveSession, sessionFromAddress } from "./access.js";
import { announce } from "./announce.js";
import { Problem } from "./api.js";
import { Board } from "./board.js";
import { Differ } from "./differ.js";
import { find, put } from "./dom.js";
import { makeDraggable } from "./drag.js";
import { asCsv, asJson, save } from "./exports.js";
import { chooseFiles, listenForPictures } from "./intake.js";
import { listenForKeys } from "./keys.js";
import { Mine } from "./mine.js";
import { reveal } from "./motion.js";
import { Profiles } from "./profiles.js";
import { Session } from "./session.js";
import { contactSheet } from "./sheet.js";
import { Store } from "./store.js";
import { Suggest } from "./suggest.js";
import { Table } from "./table.js";
import { Target } from "./target.js";
import { Teach } from "./teach.js";
import { Viewer } from "./viewer.js";

const store = new Store();
const mine = new Mine(store);
const opened = sessionFromAddress();
const table = new Table(store);
const session = opened === null ? null : new Session(store, mine, opened.id);
/** @type {import("./source.js").Source} */
const source = session ?? table;
const profiles = new Profiles(store, () => source);
const viewer = new Viewer(store, () => source, (id) => act(id, "target"));

/** @param {string} id @param {import("./card.js").Act | "back" | "remove"} what */
function act(id, what) {
  if (what === "look" && board.pressed === id) store.set({ current: id }); // a finger sees the buttons first
  else if (what === "look") void attempt(viewer.open(id));
  else if (what === "earlier") mine.step(id, -1);
  else if (what === "later") mine.step(id, 1);
  else if (what === "tie") mine.tie(id);
  else if (what === "best") mine.best(id);
  else if (what === "out") mine.leaveOut(id);
  else if (what === "back") mine.bringBack(id);
  else if (what === "target") void attempt(source.swapTarget(id));
  else void attempt(source.remove(id));
}

const board = new Board(store, act);
const teach = new Teach(store, mine, () => source, profiles, () => void suggest.ask(), clear);
const suggest = new Suggest(store, () => source, (lesson) => teach.learn(lesson));
new Target(store, () => chooseFiles({ many: false }, (files) => take(files, true)), (id) => act(id, "target"));
new Differ(store, (id) => {
  store.set({ current: id });
  const card = board.cards.get(id);
  if (card) reveal(card.element, "center");
});
makeDraggable(board.list, (id, place) => mine.move(id, place));
listenForKeys(board.list, board, mine, act);

/** @param {File[]} files @param {boolean} onTarget */
function take(files, onTarget) {
  announce(files.length === 1 ? "One picture is taken in" : `${files.length} pictures are taken in`);
  void attempt(source.add(files, onTarget));
}

/** What goes wrong is said above the pictures. @param {Promise<unknown>} work */
async function attempt(work) {
  const place = find("#fault", HTMLElement);
  put(place);
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    put(place, error.message);
  }
}

/** @param {string} selector @param {() => void} press */
function onPress(selector, press) {
  find(selector, HTMLButtonElement).addEventListener("click", press);
}

/** Take back the last change of the order, and before the first the clearing of the table before this one. */
function undo() {
  if (mine.history.past.length > 0) mine.undo();
  else void attempt(table.undo());
}

function redo() {
  if (mine.history.future.length > 0) mine.redo();
  else void attempt(table.redo());
}

/** Begin with an empty table. */
function clear() {
  table.clear();
  store.tell();
  find("#choose", HTMLButtonElement).focus();
}

/** @param {boolean} folder */
function choose(folder) {
  chooseFiles({ folder }, (files) => take(files, false));
}

onPress("#choose", () => choose(false));
onPress("#choose-folder", () => choose(true));
onPress("#add", () => choose(false));
onPress("#undo", undo);
onPress("#redo", redo);
onPress("#table-back", undo);
onPress("#follow", () => mine.reset());
onPress("#clear", clear);
onPress("#own", () => {
  leaveSession();
  location.replace(location.pathname);
});
onPress("#save-csv", () => save(asCsv(store.state), "order.csv", "text/csv"));
onPress("#save-json", () => save(asJson(store.state), "order.json", "application/json"));
onPress("#save-sheet", async () => {
  const sheet = await contactSheet(store.state);
  if (sheet !== null) save(sheet, "contact-sheet.png");
});
for (const shown of /** @type {const} */ (["profile", "lpips"])) {
  find(`#show-${shown}`, HTMLInputElement).addEventListener("change", () => store.set({ shown }));
}
addEventListener("click", (event) => {
  const menu = find("#export", HTMLDetailsElement);
  const within = event.target instanceof Element && menu.contains(event.target);
  if (!within || event.target.closest("button")) menu.open = false;
});
listenForPictures(take);
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || typing || (key !== "z" && key !== "y")) return;
  event.preventDefault();
  if (key === "y" || event.shiftKey) redo();
  else undo();
});
addEventListener("beforeunload", (event) => {
  if (session === null && store.state.target !== null) event.preventDefault(); // the pictures are in this tab alone
});

store.listen((state) => {
  const ended = state.session?.ended === true;
  const empty = state.target === null && (state.session === null || ended);
  document.body.classList.toggle("empty", empty);
  document.body.classList.toggle("fed", state.session !== null);
  document.body.classList.toggle("ended", ended);
  find("#welcome", HTMLElement).hidden = !empty || ended;
  find("#ended", HTMLElement).hidden = !ended;
  find("#add", HTMLElement).hidden = ended;
  find("#work", HTMLElement).hidden = empty;
  find("#need", HTMLElement).hidden = empty || state.shots.length > 0 || state.session !== null;
  find("#undo", HTMLButtonElement).disabled = mine.history.past.length + table.cleared.past.length === 0;
  find("#redo", HTMLButtonElement).disabled = mine.history.future.length + table.cleared.future.length === 0;
  find("#table-back", HTMLElement).hidden = table.cleared.past.length === 0;
  find("#follow", HTMLButtonElement).disabled = !state.touched;
  find("#profile-word", HTMLElement).textContent = state.profile.name === "lpips" ? "profile" : state.profile.name;
  find("#live", HTMLElement).hidden = state.session === null;
  find("#live", HTMLElement).textContent = ended ? "ended" : state.session?.live ? "live" : "connecting …";
  document.title = state.session?.title ? `${state.session.title} · CLPIPS studio` : "CLPIPS studio";
});

void attempt(session === null ? profiles.start() : session.open());
