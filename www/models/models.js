// Which model: finding it, bringing it into the storage, loading it, and loading it again after the engine broke.

import { $, button, h, showUp } from "../base/dom.js";
import { size, span, t } from "../base/text.js";
import { announce, ask, asked, call, changed, client, mirror, onChange, problem, say, studio, useHub, using, warn } from "../base/studio.js";
import { needBrowser } from "../start/browsers.js";
import { keepLast, KINDS, lastName } from "./kinds.js";
import { keepRate, sayOutlook, showPlan } from "./plan.js";
import { askedPrecision, called, isComing, MINI, offerPrecision, precisionChoice, sayFamily, sayModel, sayPrecision, settle, showFacts, showState, turnModel, USUAL } from "./state.js";
import { storedModels } from "./stored.js";

/** Repositories to begin with; the first is the one for photos. */
const [, ...SUGGESTED] = Object.values(KINDS).map(({ name }) => name);

/** Called with the model's name when one is loaded. */
let whenLoaded = async () => {};
let whenWord;
/** The plan that the user is asked about, and where that is, if it is asked for what is to be done with the model: `{place, label, go, back}`. */
let planned;
let proposed;
/** The last model, to be loaded again after the engine broke. */
let last;
/** The loading of a model that several wait for. */
let coming;
/** Who else is told how far it is. */
let told;

/** Says how far a model is. */
function sayFar(what, name, text, done) {
  $("fetch-progress").value = done ?? 0;
  say("fetch-text", text);
  turnModel(what, { name, done });
  told?.(text, done);
}

const precision = () => ($("half").checked ? "half" : "full");

/** Finds out what a model takes. */
async function find(typed) {
  await needBrowser();
  turnModel("looking", { name: typed });
  return { ...(await ask("plan", { typed, precision: typed === MINI ? "full" : precision() }, (event) => event.event === "warning" && warn("model-status", event))), typed };
}

/** Asks the user about it, where that was wanted. */
async function askAbout(plan, proposal) {
  [planned, proposed] = [plan, proposal];
  $(proposed?.place ?? "plan-home").append($("plan"));
  $("plan-name").hidden = !proposed;
  say("plan-name", t("models.from", { name: plan.name, host: host() }));
  say("fetch", proposed?.label ?? t("models.download"));
  await showPlan(plan);
  turnModel("plan", { name: plan.name });
  $("other-models").open = false;
}

/** Finds out what a model takes; one that is stored is opened at once. */
async function look(typed, { asking = true, proposal } = {}) {
  const found = await find(typed);
  if (found.stored) return open(found.name);
  const fits = (found.free ?? Infinity) > found.bytes - found.here;
  if (typed !== MINI || (!fits && asking)) return askAbout(found, proposal);
  planned = found;
  return bring();
}

/** Bytes a second of a download from the Hub. */
let rate;

/** Shows how much of a download is there. */
function arrived(name, event) {
  if (event.event === "warning") warn("model-status", event);
  if (event.event !== "fetch") return;
  if (name !== MINI && event.rate > 0) rate = event.rate;
  sayFar("fetching", name, t("models.fetched", {
    number: event.number, files: event.files, done: size(event.done), total: size(event.total),
    rate: event.rate > 0 ? `${size(event.rate)}/s` : "", left: event.left === null || event.left === undefined ? "" : span(event.left),
  }), event.done / event.total);
}

async function bring() {
  const { name } = planned;
  const stop = new AbortController();
  $("fetch-stop").onclick = $("getting-stop").onclick = () => stop.abort();
  sayFar("fetching", name, t("models.connecting"), planned.here / planned.bytes);
  // Asked now, when the user has just said that they want to keep something; Firefox asks them in its turn, and nothing waits for that.
  navigator.storage?.persist?.().catch(() => {});
  try {
    await open(await ask("bring", { plan: planned.plan }, (event) => arrived(name, event), stop.signal));
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    settle();
    say("model-status", t("models.stopped"));
    $("other-models").open ||= name !== MINI;
  } finally {
    if (rate) keepRate(rate);
  }
}

/** Says what a model of this computer takes before it is loaded; what is wrong with it is said when it is. */
async function foretell(name, files) {
  const outlook = await call("tools.outlook", name, files, USUAL).catch(() => undefined);
  if (outlook) sayFamily(await sayOutlook(outlook));
}

async function open(name, files) {
  say("model-status");
  sayFar("loading", name, t("models.starting"));
  if (files) await foretell(name, files);
  let device = "";
  await ask("open", { name, files, precision: askedPrecision() }, (event) => {
    if (event.event === "device") device = event.name;
    if (event.event === "precision") sayPrecision(event.reason);
    if (event.event === "warning") warn("model-problem", event);
    if (event.event === "load") sayFar("loading", name, t("models.loading", t("models.parts")[event.part] ?? event.part), event.done / event.total);
  });
  performance.mark("pseudoword:model");
  last = { name, files };
  studio.model = name;
  problem();
  $("reload").hidden = true;
  $("model-link").hidden = $("model-link").dataset.name === name || $("model-link").hidden;
  turnModel("ready", { name });
  sayModel(t("models.readyOn", device));
  await offerPrecision();
  await showFacts();
  if (!files) keepLast(name);
  announce(t("models.isReady", called(name)));
  await whenLoaded(name);
}

/** What several may wait for: whatever is coming, or else this. */
function once(work) {
  coming ??= work().catch((error) => {
    settle();
    throw error;
  }).finally(() => {
    coming = undefined;
    changed();
  });
  return coming;
}

/** Resolves with the name of a loaded model: `name` if it is given, or else any. Where none is loaded, that is the one that was used
 * last if it is stored, or the mini model. `report(text, done?)` is told what happens meanwhile. What is not here is brought if the user
 * `agreed` to the plan that was proposed. To be called inside of `using`. */
export async function withModel({ name, agreed, report } = {}) {
  const wanted = () => studio.model && (!name || name === studio.model);
  if (wanted()) return studio.model;
  told = report;
  try {
    await once(async () => (agreed && planned?.name === name ? bring() : name && last?.files && last.name === name ? open(name, last.files) : look(name ?? (await lastOne()), { asking: false })));
  } finally {
    told = undefined;
  }
  if (!wanted()) throw new Error(agreed ? t("models.stopped") : t("models.needed", called(name ?? MINI)));
  return studio.model;
}

/** Brings the plan into view, with the focus on what comes next; where it is hopeless, that is to leave it. */
export function showUpPlan() {
  if (!$("plan").hidden) showUp($("plan"), $($("plan").classList.contains("hopeless") ? "dismiss" : "fetch"));
}

/** The model for photos. */
export const PHOTOS = SUGGESTED[0];

/** Shows what a model takes at a place: `{place, label, go, back}`, where `go` is called when the button of that `label` is pressed, and `back`
 * is what has the focus when it is not wanted. Gives whether there is nothing to ask, because it is here. To be called inside of `using`. */
export async function propose(name, proposal) {
  let stored;
  await once(async () => {
    const found = await find(name);
    stored = found.stored;
    if (stored) settle();
    else await askAbout(found, proposal);
  });
  return stored;
}

export { lastName };

async function lastOne() {
  const name = lastName();
  if (name === MINI) return MINI;
  const stored = await (await client()).ask("library.stored", { args: [] });
  return stored.some((model) => model.name === name && model.whole) ? name : MINI;
}

/** The files of a chosen folder by their paths in it. */
function within(list) {
  const files = {};
  for (const file of list) files[file.webkitRelativePath.split("/").slice(1).join("/")] = file;
  return files;
}

/** Does something about models; what goes wrong is said in the room, and what was loaded stays. */
const doing = (work) => using("model-problem", () => once(async () => {
  say("model-status");
  await work();
}), { long: true });

/** Loads a model from files of this computer, an object of `path: File`. */
export const openFiles = (name, files) => doing(async () => {
  await needBrowser();
  await open(name, files);
});

/** Loads one of one file; if that is a word, it can be put where it belongs. */
export async function openFile(file) {
  let word;
  await doing(async () => {
    await needBrowser();
    await open(file.name, { [file.name]: file }).catch((error) => {
      word = /probably an embedding/.test(error.message);
      throw word ? new Error(t("models.isWord", file.name)) : error;
    });
  });
  if (word) $("model-problem").append(" ", button(t("words.take"), () => say("model-problem") ?? whenWord([file])));
}

/** Loads one that is stored, or that a plan can be made for. */
export const lookUp = (typed) => doing(() => look(typed)).then(showUpPlan);

/** What the page's own address asks for: nothing is fetched before the visitor agrees. */
function link() {
  const name = asked("model");
  if (!name) return;
  $("model-link").dataset.name = name;
  say("model-link-text", t("models.link", { name, host: host() }));
  $("model-link").hidden = false;
  $("model-link-look").addEventListener("click", () => {
    $("model-link").hidden = true;
    lookUp(name);
  });
  $("model-link-no").addEventListener("click", () => ($("model-link").hidden = true));
}

/** Where models and words are fetched from. */
export const host = () => (mirror() ? new URL(mirror()).host : "huggingface.co");

/** The ways to other models. */
function ways() {
  $("suggested").append(h("small", {}, t("models.suggested")), ...SUGGESTED.map((name) => h("button", {
    type: "button", class: "chip", onclick: () => (($("repo").value = name), ($("half").checked = true), $("repo").focus()),
  }, name.split("/")[1])));
  $("hub-form").addEventListener("submit", (event) => {
    event.preventDefault();
    lookUp($("repo").value.trim());
  });
  $("hub").value = asked("hub") ?? "";
  if (asked("hub") && !mirror()) say("model-problem", t("models.noMirror", asked("hub")));
  $("hub").addEventListener("change", () => using("model-problem", () => useHub($("hub").value.trim())));
  $("folder").addEventListener("change", ({ target }) => {
    const [first] = target.files;
    if (first) openFiles(first.webkitRelativePath.split("/")[0], within(target.files));
    target.value = "";
  });
  $("checkpoint").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (file) openFile(file);
    target.value = "";
  });
}

/** Makes the room work; `loaded` is called with the name of each model that is, `word` with files that are words. */
export function modelsRoom({ loaded, word } = {}) {
  whenLoaded = loaded ?? whenLoaded;
  whenWord = word;
  showState();
  ways();
  link();
  $("load").addEventListener("click", () => lookUp(MINI));
  $("fetch").addEventListener("click", () => (proposed ? proposed.go() : doing(bring)));
  $("half").addEventListener("change", () => planned && doing(() => look(planned.typed, { proposal: proposed })).then(() => $("half").focus()));
  $("dismiss").addEventListener("click", () => {
    settle();
    (proposed ? $(proposed.back) : $("other-models").querySelector("summary")).focus();
  });
  $("reload").addEventListener("click", () => doing(() => (last ? open(last.name, last.files) : look(MINI))));
  precisionChoice();
  storedModels({ load: lookUp, removed: (name) => name === lastName() && keepLast(MINI) });
  onChange(() => {
    for (const id of ["load", "fetch", "reload", "folder", "checkpoint", "half", "model-link-look"]) $(id).disabled = studio.busy || isComing();
    $("hub-form").querySelector("button").disabled = studio.busy;
  });
}
