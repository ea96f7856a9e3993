// Pictures become a word. The rooms of teaching and of learning; what is done in them is in the modules beside this one.

import { $, button, h, picked, showUp } from "../base/dom.js";
import { BrokenEngine } from "../base/engine.js";
import { announce, ask, changed, client, complain, now, onChange, say, studio, turnTo, using } from "../base/studio.js";
import { png, t } from "../base/text.js";
import { forPhotos, propose, showUpPlan, withModel } from "../models/models.js";
import { atWork, MINI } from "../models/state.js";
import { find, free, keepWord, remove } from "../words/shelf.js";
import { follow, forgetWarnings, Telling } from "./follow.js";
import { keepPace } from "../start/probe.js";
import { check, checked, fillIn, fitted, form, seen, settings } from "./form.js";
import { showLearned } from "./learned.js";
import * as own from "./own.js";
import { addPreview, allPreviews, clearPreviews, lastPreview, showOwn, timeline } from "./stage.js";
import { alone, peek, released, SavedRun, taken } from "./run.js";
import { suggestions } from "./suggest.js";
import { Tiles } from "./tiles.js";

const saved = new SavedRun();
let tiles;

/** A training that can be paused and stopped. */
const control = {
  running: false, begun: false, paused: false, stopped: false, resume: () => {},
  /** The next step waits here while the user wants it to. */
  async whilePaused() {
    if (this.paused) await new Promise((resolve) => (this.resume = resolve));
  },
};

/** Pictures that were dropped, pasted or chosen; `problems` are what is wrong with what came with them. */
export async function addPictures(files, problems = []) {
  // What is learned now has its pictures.
  if (control.running || now() === "learning") return say("run-problem", files.length > 0 ? t("engine.busy") : problems.join("\n"));
  if (now() !== "teach") {
    await own.mine();
    turnTo("teach");
  }
  await tiles.add(files, problems);
}

/** Shows the room of learning, before anything has happened in it. */
function enter(token, pictures) {
  showPaused(token);
  for (const place of ["saved-status", "run-problem", "time-left"]) say(place);
  forgetWarnings();
  say("train-status", t("learn.gettingReady"));
  $("progress").removeAttribute("value");
  $("curve").replaceChildren();
  for (const id of ["learned", "unfinished", "run-buttons", "run-back"]) $(id).hidden = true;
  $("run-head").hidden = false;
  clearPreviews();
  showOwn(pictures);
  turnTo("learning");
  $("learning-title").focus();
}

/** Whether it is paused is told by the title, by the button that goes on, and at the top of the page. */
function showPaused(token) {
  studio.paused = control.paused;
  $("learning").dataset.token = token;
  say("learning-title", t(control.paused ? "learn.pausedOf" : "learn.learningOf", token));
  say("pause", t(control.paused ? "learn.resume" : "learn.pause"));
  $("pause").classList.toggle("primary", control.paused);
  changed();
}

/** Whether no word on the shelf has this name. If one has it, what can be done is offered at `place`: `go` goes on with a free name, or with the
 * same once the other word is put away. */
function unnamed(token, place, go) {
  const [word, other] = [find(token), free(token)];
  if (!word) return true;
  const first = button(t("learn.as", other), () => go(other), { kind: "primary" });
  $(place).replaceChildren(t("learn.have", token), h("span", { class: "row" }, first, button(t("learn.replace", token), async () => {
    await using(place, () => remove(word));
    if (!find(token)) go(token);
  })));
  first.focus();
  return false;
}

/** Brings the model if there is none, telling how far it is where people look. */
const model = (name, agreed) => withModel({
  name, agreed,
  report(text, fraction) {
    say("train-status", text);
    if (fraction === undefined) $("progress").removeAttribute("value");
    else $("progress").value = fraction;
  },
});

/** Learns from what the form has, but for what is `given`, or goes on with `unfinished`; gives what came of it. */
async function learn(unfinished, given) {
  const asked = unfinished?.config ?? { ...settings(), ...given };
  const pictures = unfinished?.pictures ?? (await tiles.read());
  return alone(async () => {
    atWork();
    const config = await fitted(asked);
    const job = await ask("train", { config, pictures, state: unfinished?.state });
    // One that was left is kept as it is; one that was stopped here is not any more.
    if (!unfinished?.kept) await saved.begin(config, pictures, unfinished?.curve);
    for (const { step, bytes } of unfinished?.previews ?? []) addPreview(step, bytes);
    Object.assign(control, { running: true, begun: true, paused: false, stopped: false });
    $("run-buttons").hidden = false;
    $("pause").focus();
    showPaused(config.token);
    try {
      const { pace, made, found, untried } = await follow({ job, config, saved, control });
      if (pace) keepPace(studio.model, pace);
      const { token, init, kind, steps } = config;
      // Of a word that was learned to the end it is left to try it.
      const left = control.stopped && (made < steps || untried) && { model: studio.model, config, pictures, state: await ask("job.state", { job }), previews: allPreviews(), curve: saved.curve };
      const mini = studio.model === MINI && own.owns(token);
      return { token, init, kind, steps, made, left, mini, found, verdict: await ask("job.verdict", { job }), bytes: await file(job) };
    } finally {
      Object.assign(control, { running: false, paused: false });
      showPaused(config.token);
      Telling.end();
      $("run-buttons").hidden = true;
      if (studio.client) await ask("end", { job }).catch(() => {});
    }
  });
}

/** The file of what a job has learned so far. */
const file = (job) => ask("job.embedding", { job, args: ["diffusers"] });

/** Keeps a word on the shelf, and what was saved of its run no longer. If that fails, why is said where it can be downloaded. */
async function keep(result) {
  const { token, bytes, prompt, found: quality } = result;
  try {
    result.word = await keepWord(bytes, "learned_embeds.safetensors", { token, picture: lastPreview(1), prompt, quality });
    await saved.forget();
    await own.learned(token);
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    result.problem = error;
  } finally {
    changed();
  }
}

/** Learns, and shows what came of it once everything is kept and the engine is free again. `ready()` gets everything that is needed, and
 * gives `{unfinished?, given?, prompt?}`; if it cannot begin, the page is turned back to `back`, and why is said at `place`. */
async function session(ready, { back, place }) {
  let result, refused;
  const work = using("run-problem", async () => {
    // A download takes minutes, too.
    const awake = await navigator.wakeLock?.request("screen").catch(() => undefined);
    try {
      // Before a model is brought for it.
      if (await taken()) throw new Error(t("learn.otherTab"));
      const { unfinished, given, prompt } = await ready();
      result = await learn(unfinished, given);
      result.prompt = prompt ?? t("learn.prompt", result);
    } catch (error) {
      // What goes wrong once it has begun is said where the run is shown, and its state is saved.
      if (error instanceof BrokenEngine || control.begun) throw error;
      refused = error;
    } finally {
      await awake?.release();
    }
    if (result) await keep(result);
  }, { long: true });
  // Something else has the engine.
  if (!work) refused = new Error(t("engine.busy"));
  await work;
  control.begun = false;
  if (refused) {
    turnTo(back);
    await complain(place, refused);
    await check().catch(() => {});
    showUp($(place), $("learn").querySelector("[aria-invalid=true]") ?? $(place));
    // Who stopped a download knows that; what leads on is the plan, which is there again.
    if (refused.quiet) showUpPlan();
    return;
  }
  if (!result) return left();
  say("saved-status");
  showLearned(result, { learnOn: result.left && (() => learnOn(result)), onPhotos: () => onPhotos(result.token) });
  announce($("verdict").textContent);
}

/** Goes on where a run was stopped; the word as it was then is put away. */
async function learnOn({ left, word, prompt }) {
  if (studio.long) return say("run-problem", t("engine.busy"));
  enter(left.config.token, tiles.pictures);
  await session(async () => {
    if (left.model !== studio.model) await model(left.model);
    if (word && !word.removed) await remove(word);
    return { unfinished: left, prompt };
  }, { back: "teach", place: "learn-problem" });
}

/** Learns the same on the model for photos, under a free name. */
function onPhotos(token) {
  turnTo("teach");
  own.changed();
  $("token").value = free(token);
  learnTyped({ name: forPhotos() });
}

/** A run ended before its time: what is left of it is offered. */
async function left() {
  say("learning-title", t("learn.brokeOff", $("learning").dataset.token));
  $("run-head").hidden = true;
  $("run-back").hidden = false;
  await offer(await peek());
  // To go on starts the engine, too.
  $("reload").hidden ||= $("continue").checkVisibility();
}

/** Learns at once from `{token, init, kind, prompt, settings, pictures}`, where `pictures()` gives `{file, caption?}`. */
export async function learnNow({ prompt, settings: given, pictures, ...word }) {
  if (studio.long) return say("start-problem", t("engine.busy"));
  const go = (token) => learnNow({ ...word, token, prompt: prompt.replaceAll(word.token, token), settings: given, pictures });
  if (!unnamed(word.token, "start-problem", go)) return undefined;
  enter(word.token, []);
  return session(async () => {
    own.aside();
    const [found] = await Promise.all([pictures(), fillIn(word)]);
    await tiles.set(found);
    showOwn(tiles.pictures);
    // What it takes was said of that one.
    await model(MINI);
    return { prompt, given };
  }, { back: "welcome", place: "start-problem" });
}

/** Whether there is something to learn from, and a form that can be used. */
async function filled() {
  say("learn-problem");
  if (tiles.pictures.length === 0) {
    say("learn-problem", t("learn.noPictures"));
    $("files").focus();
    return false;
  }
  // What the form begins with comes from the engine, which may still be starting. If it cannot, that is said at the top of the page.
  let started;
  await using("learn-problem", async () => (started = await client()));
  return started && !studio.long && checked();
}

/** Learns from the form; with the model of a `name` if that is wanted, which is asked about before it is fetched. */
async function learnTyped({ name, agreed } = {}) {
  if (studio.long) return say("learn-problem", t("engine.busy"));
  if (!(await filled())) return undefined;
  const token = $("token").value.trim();
  const go = (other) => {
    $("token").value = other;
    return learnTyped({ name, agreed });
  };
  if (!unnamed(token, "learn-problem", go)) return undefined;
  if (name && !agreed && !(await here(name))) return undefined;
  enter(token, tiles.pictures);
  return session(async () => {
    await model(name, agreed);
    return {};
  }, { back: "teach", place: "learn-problem" });
}

/** Whether a model is here. If not, or if it was `chosen` in place of another, what it takes is shown beside the form, and one press fetches it and
 * goes on. */
async function here(name, chosen) {
  let found;
  await using("learn-problem", async () => {
    found = await propose(name, { place: "photos-plan", back: "train-photos", chosen, go: () => learnTyped({ name, agreed: true }), other: (other) => here(other, true) });
  }, { long: true });
  if (found !== false) return found;
  // Pressed twice.
  say("learn-problem");
  showUpPlan();
  return false;
}

/** Shows what was left unfinished, with what can be done about it; `run` is what is known of it. */
async function offer(run) {
  $("unfinished").hidden = !run;
  if (!run) return;
  const { token, steps = 0 } = run.config;
  const about = { token, steps, step: run.step, reason: run.unusable };
  const other = await taken();
  const text = other ? (run.step === undefined ? t("learn.takenUnknown", token) : t("learn.taken", about))
    : run.unusable ? t("learn.unusable", about)
      : [run.step === undefined ? t("learn.unfinished", token) : t("learn.unfinishedAt", about), run.warning && t("learn.damaged", run.warning)].filter(Boolean).join(" ");
  say("unfinished-text", text);
  for (const id of ["continue", "keep"]) $(id).hidden = other || run.unusable !== undefined;
  $("discard").hidden = other;
  // When that tab is done or gone, this one tells what there is then.
  if (other) released().then(async () => control.running || (await offer(await peek())));
}

/** Offers what was left, as soon as the engine can tell all about it. */
async function offerWhole() {
  if (control.running || now() === "learning") return;
  await offer(await saved.find());
}

/** Everything that is needed to go on with the run that was left. */
async function found() {
  const about = await peek();
  if (about && about.model !== studio.model) await model(about.model);
  const run = await saved.find();
  if (run?.unusable) throw new Error(t("learn.unusable", { token: run.config.token, reason: run.unusable }));
  return run;
}

async function goOn() {
  if (studio.long) return say("unfinished-problem", t("engine.busy"));
  const about = await peek();
  // Pressed twice.
  if (studio.long) return undefined;
  if (!about) return offer();
  enter(about.config.token, []);
  await session(async () => {
    const run = await found();
    own.aside();
    await tiles.set(run.pictures.map(({ name, bytes, ...rest }) => ({ file: new File([bytes], name), ...rest })));
    showOwn(tiles.pictures);
    await fillIn(run.config);
    return { unfinished: { ...run, kept: true } };
  }, { back: "teach", place: "unfinished-problem" });
  // It could not begin: it is still there.
  if (now() === "teach") await offer(about);
}

/** Keeps the word as it was when its run was left. */
const keepLeft = () => using("unfinished-problem", async () => {
  const run = await found();
  if (!run) return;
  const job = await ask("train", { config: run.config, pictures: run.pictures, state: run.state });
  try {
    const shown = run.previews.findLast(({ step }) => step > 0);
    await keepWord(await file(job), "learned_embeds.safetensors", { token: run.config.token, picture: shown && png(shown.bytes), prompt: t("learn.prompt", run.config) });
  } finally {
    await ask("end", { job });
  }
  await saved.forget();
  $("unfinished").hidden = true;
  announce(t("learn.kept"));
}, { long: true });

function buttons() {
  $("continue").addEventListener("click", goOn);
  $("keep").addEventListener("click", keepLeft);
  $("discard").addEventListener("click", () => using("unfinished-problem", async () => {
    if (!$("unfinished").hidden) await saved.forget();
    $("unfinished").hidden = true;
  }));
  $("pause").addEventListener("click", () => {
    control.paused = !control.paused;
    showPaused($("learning").dataset.token);
    announce(t(control.paused ? "learn.paused" : "learn.resuming"));
    if (control.paused) Telling.paused();
    else control.resume();
  });
  $("stop").addEventListener("click", () => {
    control.stopped = true;
    control.paused = false;
    control.resume();
  });
  for (const [id, place] of [["teach-back", "welcome"], ["run-back", "teach"], ["another", "teach"]]) {
    $(id).addEventListener("click", () => {
      if (id === "another") own.another();
      turnTo(place);
      $(`${place}-title`).focus();
    });
  }
}

/** Each of these has the middle to itself; while pictures are made, it keeps what it had. */
const SHOWN = { welcome: "welcome", teach: "teach", learning: "learning", learned: "learning" };

/** Makes the rooms work; what was left in the room of teaching is there when this resolves. */
export function learnRoom() {
  tiles = new Tiles({
    list: $("tiles"), refuse: (text) => say("pictures-problem", text), seen,
    changed() {
      const [count, captions] = [tiles.pictures.length, tiles.captioned];
      $("add").classList.toggle("empty", count === 0);
      say("learn-problem");
      $("caption-note").hidden = captions === 0;
      $("suggest").hidden = captions === count;
      if (count === 0) say("suggested-captions");
      $("caption-note").classList.toggle("warning", captions < count);
      say("caption-note", captions === count ? t("learn.captionsAll") : t("learn.captionsSome", { n: captions, of: count }));
      own.changed();
    },
  });
  picked("files", (files) => addPictures(files));
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData?.files.length > 0 && !control.running) addPictures([...clipboardData.files]);
  });
  $("learn").addEventListener("submit", (event) => {
    event.preventDefault();
    learnTyped();
  });
  $("kind").addEventListener("change", () => tiles.invite());
  $("train-photos").addEventListener("click", () => learnTyped({ name: forPhotos() }));
  $("add").classList.add("empty");
  suggestions(tiles);
  buttons();
  timeline();
  form(() => tiles.look());
  let loaded;
  onChange(() => {
    const place = SHOWN[now()];
    if (place) for (const id of new Set(Object.values(SHOWN))) $(id).hidden = id !== place;
    // Whoever has another model loaded learns with that.
    for (const id of ["train-photos", "photos-note"]) $(id).hidden = studio.model !== undefined && studio.model !== MINI;
    if (studio.model === loaded) return;
    loaded = studio.model;
    if (loaded) offerWhole().then(check).catch(() => {});
  });
  window.addEventListener("beforeunload", (event) => {
    if (control.running || own.unkept()) event.preventDefault();
  });
  peek().then(offer);
  return own.ownPictures(tiles);
}
