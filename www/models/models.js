// Which model: finding it, bringing it into the storage, loading it, and loading it again after the engine broke.

import { $, button, h, picked, showUp } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { decimal, size, span, t } from "../base/text.js";
import { announce, ask, asked, call, changed, mirror, onChange, problem, say, studio, useHub, using, warn } from "../base/studio.js";
import { needBrowser } from "../start/browsers.js";
import { keepLast, KINDS, lastName } from "./kinds.js";
import { keepRate, sayOutlook, showPlan } from "./plan.js";
import { askedPrecision, called, isComing, MINI, offerPrecision, precisionChoice, sayFamily, sayModel, sayPrecision, showFacts, showState, turnModel, USUAL } from "./state.js";
import { recordOf, storedModels } from "./stored.js";

/** The model that was begun last and is not all here, for the next visit, how much is, and in which precision: `{name, here, bytes, half}`. */
const PART = "pseudoword-part";
/** Repositories to begin with. */
const [, ...SUGGESTED] = Object.values(KINDS);
/** Those for photos, and what they are called beside each other. */
const PHOTOS = { 1.5: KINDS["Stable Diffusion 1.x"], SDXL: KINDS.SDXL };

/** Called with the model's name when one is loaded. */
let whenLoaded = async () => {};
let whenWord;
/** The plan that the user is asked about, and where that is, if it is asked for what is to be done with the model: see `propose`. */
let planned;
let proposed;
/** The plan of the model of which only a part is here. */
let part;
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

/** The last warning, which takes a moment to be said. */
let warned;

function warnOf(event) {
  if (event.event === "warning") warned = warn("model-status", event);
}

const precision = () => ($("half").checked ? "half" : "full");

/** Whether weights are to be kept in eight bits; nothing until somebody says it. */
let eight;

/** Finds out what a model takes. */
async function find(typed) {
  await needBrowser();
  turnModel("looking", { name: typed });
  return ask("plan", typed === MINI ? { typed, precision: "full" } : { typed, precision: precision(), eight }, warnOf);
}

/** Marks which of the models for photos it is about. */
function mark() {
  for (const one of $("plan-choice").querySelectorAll("input")) one.checked = one.value === planned.name;
}

/** Asks the user about it, where that was wanted. */
async function askAbout(plan, proposal) {
  [planned, proposed] = [plan, proposal];
  $(proposed?.place ?? "plan-home").append($("plan"));
  $("plan-name").hidden = $("plan-choice").hidden = !proposed;
  mark();
  say("plan-name", t("models.from", { name: plan.name, host: host() }));
  say("fetch", plan.stored ? t("learn.start") : t(proposed ? "models.andLearn" : "models.download", plan.here));
  await showPlan(plan);
  turnModel("plan", { name: plan.name });
  $("other-models").open = false;
}

/** Finds out what a model takes; one that is stored is opened at once. */
async function look(typed, { asking = true, proposal } = {}) {
  const found = await find(typed);
  if (found.stored) return open(found.name);
  const fits = (found.free ?? Infinity) > found.room;
  if (typed !== MINI || (!fits && asking)) return askAbout(found, proposal);
  [planned, proposed] = [found];
  return bring();
}

/** Back to what there is: the part of a model with the way to get the rest, the model that is loaded, or none. */
async function settle() {
  if (!part?.here) return turnModel(studio.model ? "ready" : "none", { name: studio.model });
  const wanted = proposed && planned.name === part.name;
  if (wanted) await askAbout(part, proposed);
  sayFar("part", part.name, t("models.part", { bytes: size(part.here), of: size(part.bytes) }), part.here / part.bytes);
  $("plan").hidden = !wanted;
}

/** Puts the part of a model away; it stays in the storage. */
function putAway() {
  part = undefined;
  keep(PART, null);
  settle();
}

/** Gets the rest of a model. */
const resume = (name) => doing(() => {
  const begun = recall(PART);
  if (begun?.name === name) $("half").checked = begun.half;
  if (planned?.name !== name) [planned, proposed] = [{ name }];
  return bring();
});

/** Shows what was begun on a former visit and is not all here. */
async function begun() {
  const left = recall(PART);
  if (!left || (await recordOf(left.name))?.whole !== false) return;
  part = left;
  unlink(part.name);
  await settle();
}

/** Bytes a second of a download from the Hub. */
let rate;

/** Shows how much of a download is there. */
function arrived(name, event) {
  warnOf(event);
  if (event.event === "load") sayFar("fetching", name, t("models.converting", t("models.parts")[event.part]), event.done / event.total);
  if (event.event !== "fetch") return;
  if (name !== MINI && event.rate > 0) rate = event.rate;
  part.here = event.done;
  keep(PART, { name, here: event.done, bytes: event.total, half: $("half").checked });
  sayFar("fetching", name, t("models.fetched", {
    number: event.number, files: event.files, done: size(event.done), total: size(event.total),
    rate: event.rate > 0 ? `${size(event.rate)}/s` : "", left: event.left === null || event.left === undefined ? "" : span(event.left),
  }), event.done / event.total);
}

async function bring() {
  const stop = new AbortController();
  $("fetch-stop").onclick = $("getting-stop").onclick = () => stop.abort();
  // A plan is used up by a download, to whatever end that came.
  if (!planned.plan) planned = await find(planned.name);
  if (planned.stored) return open(planned.name);
  const { name, plan, here, bytes } = planned;
  part = planned;
  part.plan = undefined;
  sayFar("fetching", name, t("models.connecting"), here / bytes);
  // Asked now, when the user has just said that they want to keep something; Firefox asks them in its turn, and nothing waits for that.
  navigator.storage?.persist?.().catch(() => {});
  try {
    await ask("bring", { plan }, (event) => arrived(name, event), stop.signal);
  } catch (error) {
    throw stop.signal.aborted ? Object.assign(new Error(t("models.stopped")), { quiet: true }) : error;
  } finally {
    if (rate) keepRate(rate);
  }
  return open(name);
}

/** Says what a model of this computer takes before it is loaded; what is wrong with it is said when it is. Gives how its weights are to
 * be kept: in eight bits where nothing else fits, if nobody said it. */
async function foretell(name, files, weights) {
  const outlook = await call("tools.outlook", name, files, USUAL, weights).catch(() => undefined);
  if (!outlook) return weights;
  const { text, tight } = await sayOutlook(outlook);
  if (tight && weights === "auto") return foretell(name, files, "q8");
  sayFamily(text);
  return weights;
}

async function open(name, files) {
  say("model-status");
  sayFar("loading", name, t("models.starting"));
  let weights = $("weights").value || "auto";
  if (files) weights = await foretell(name, files, weights);
  let device = "";
  await ask("open", { name, files, precision: askedPrecision(), weights }, (event) => {
    if (event.event === "device") device = event.name;
    if (event.event === "precision") sayPrecision(event.reason);
    if (event.event === "warning") warn("model-problem", event);
    if (event.event === "load") sayFar("loading", name, t("models.loading", t("models.parts")[event.part] ?? event.part), event.done / event.total);
  });
  performance.mark("pseudoword:model");
  last = { name, files };
  if (recall(PART)?.name === name) keep(PART, null);
  part = undefined;
  studio.model = name;
  problem();
  $("reload").hidden = true;
  unlink(name);
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
  coming ??= work().catch(async (error) => {
    // What was warned of on the way there is over.
    await warned;
    say("model-status");
    await settle();
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
  if (!wanted()) throw new Error(t("models.needed", called(name ?? MINI)));
  return studio.model;
}

/** Brings the plan into view, with the focus on what comes next; where it is hopeless, that is to leave it. */
export function showUpPlan() {
  if (!$("plan").hidden) showUp($("plan"), $($("plan").classList.contains("hopeless") ? "dismiss" : "fetch"));
}

/** The model for photos: the one that was begun, or used last, or else the smallest. */
export const forPhotos = () => [part?.name, lastName()].find((name) => Object.values(PHOTOS).some((one) => one.name === name)) ?? PHOTOS[1.5].name;

/** Shows what a model for photos takes at a place: `{place, go, other, back, chosen}`, where `go` is called when it is to be fetched and used,
 * `other(name)` when another one is chosen, and `back` is what has the focus when it is not wanted. Gives whether there is nothing to ask,
 * because it is here, unless it was `chosen`. To be called inside of `using`. */
export async function propose(name, proposal) {
  let ready;
  await once(async () => {
    const found = await find(name);
    ready = found.stored && !proposal.chosen;
    await (ready ? settle() : askAbout(found, proposal));
  });
  return ready;
}

async function lastOne() {
  const name = lastName();
  return (await recordOf(name))?.whole ? name : MINI;
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

/** The address asked for a model that is here now, wholly or in part. */
const unlink = (name) => ($("model-link").hidden ||= asked("model") === name);

/** What the page's own address asks for: nothing is fetched before the visitor agrees. */
function link() {
  const name = asked("model");
  if (!name) return;
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
  $("suggested").append(h("small", {}, t("models.suggested")), ...SUGGESTED.map(({ name }) => button(name.split("/")[1], () => {
    $("repo").value = name;
    $("half").checked = true;
    lookUp(name);
  }, { kind: "chip" })));
  $("hub-form").addEventListener("submit", (event) => {
    event.preventDefault();
    lookUp($("repo").value.trim());
  });
  $("hub").value = asked("hub") ?? "";
  if (asked("hub") && !mirror()) say("model-problem", t("models.noMirror", asked("hub")));
  $("hub").addEventListener("change", () => using("model-problem", () => useHub($("hub").value.trim())));
  picked("folder", (files) => openFiles(files[0].webkitRelativePath.split("/")[0], within(files)));
  picked("checkpoint", ([file]) => openFile(file));
}

/** The models for photos, to choose from. */
function choice() {
  $("plan-choice").append(...Object.entries(PHOTOS).map(([called, { name: value, gigabytes }]) => {
    const input = h("input", { type: "radio", name: "for-photos", value, onchange: async () => {
      await proposed.other(value);
      // It may not have come to be.
      mark();
      input.focus();
    } });
    return h("label", {}, input, h("span", {}, `${called} (${decimal(gigabytes, 1)} GB)`));
  }));
}

/** Makes the room work, which is done when this resolves; `loaded` is called with the name of each model that is, `word` with files that are words. */
export function modelsRoom({ loaded, word } = {}) {
  whenLoaded = loaded ?? whenLoaded;
  whenWord = word;
  showState();
  ways();
  choice();
  link();
  $("load").addEventListener("click", () => lookUp(MINI));
  $("fetch").addEventListener("click", () => (proposed ? proposed.go() : doing(bring)));
  for (const id of ["half", "eight"]) {
    $(id).addEventListener("change", ({ target }) => {
      if (id === "eight") eight = target.checked;
      if (planned) doing(() => look(planned.name, { proposal: proposed })).then(() => target.focus());
    });
  }
  const others = $("other-models").querySelector("summary");
  $("dismiss").addEventListener("click", () => {
    const back = proposed ? $(proposed.back) : others;
    proposed = undefined;
    settle();
    back.focus();
  });
  $("part-resume").addEventListener("click", () => resume(part.name));
  $("part-away").addEventListener("click", () => {
    putAway();
    others.focus();
  });
  $("reload").addEventListener("click", () => doing(() => (last ? open(last.name, last.files) : look(MINI))));
  precisionChoice();
  storedModels({
    load: (name, whole) => (whole ? lookUp(name) : resume(name)),
    removed(name) {
      if (name === lastName()) keepLast(MINI);
      if (name === part?.name) putAway();
    },
  });
  onChange(() => {
    for (const id of ["load", "fetch", "part-resume", "part-away", "reload", "folder", "checkpoint", "half", "eight", "model-link-look"]) $(id).disabled = studio.busy || isComing();
    $("hub-form").querySelector("button").disabled = studio.busy;
  });
  return begun();
}
