// The room of pictures: a prompt becomes pictures, with and without the learned word.

import { $, picked } from "../base/dom.js";
import { add, announce, call, client, now, onChange, say, studio, turnTo, using } from "../base/studio.js";
import { engineText, t } from "../base/text.js";
import { fits } from "../models/kinds.js";
import { withModel } from "../models/models.js";
import { atWork } from "../models/state.js";
import { find, words } from "../words/shelf.js";
import { choice, gallery, notice } from "./gallery.js";
import { produce, stop } from "./making.js";
import { asksAbout, look, promptField, remember, usePrompt, useWord } from "./prompt.js";
import { asItIs, chooseSyntax, fillIn, firstSeed, formSettings, offerSizes, samplerName } from "./settings.js";

export { usePrompt, useWord };

/** What is asked for: `making` now, or `waiting` until the engine is free. */
const asked = { making: false, waiting: undefined };
/** What was made last, and the seed that comes after it. */
let last = { key: "", next: 0 };

const chosenCount = () => Number($("make").elements.count.value);

/** What the form asks for. */
function request() {
  const prompt = $("prompt").value.trim();
  const [compare, config] = [$("compare").checked, formSettings()];
  const key = () => JSON.stringify([prompt, compare, config, chosenCount(), $("make-seed").value]);
  // The same once more would give the same pictures: the seeds go on instead.
  if (key() === last.key) {
    $("make-seed").value = last.next;
    say("make-notes", t("make.goesOn", last.next));
  }
  // Beyond that, numbers are no longer told apart.
  const first = Math.min(firstSeed(), Number.MAX_SAFE_INTEGER - 9);
  const seeds = Array.from({ length: chosenCount() }, (_, i) => first + i);
  last = { key: $("make-seed").value === "-1" ? "" : key(), next: first + seeds.length };
  return { prompt, compare, config, seeds };
}

/** What the pictures of a prompt depend on besides the form. */
let around = [];

/** With another model, or with words learned anew, the same form gives other pictures. */
function noteChanges() {
  const now = [studio.model, ...studio.words.values()];
  if (around[0] !== undefined && (now.length !== around.length || now.some((one, i) => one !== around[i]))) last.key = "";
  around = now;
}

/** Makes what was asked for. */
async function run({ prompt, compare, config, seeds }) {
  asked.making = true;
  if (now() !== "learning") turnTo("make");
  remember(prompt);
  show();
  await using("make-problem", async () => {
    if (!studio.model) {
      say("make-status", t("make.loading"));
      await withModel({ report: (text) => say("make-status", text) });
      // It may be another than was thought.
      if (asksAbout(prompt, submit)) {
        last.key = "";
        return say("make-status");
      }
    }
    atWork();
    // What was left empty before the engine had said its defaults.
    const all = { ...formSettings(), ...config };
    await produce({ prompt, compare, config: all, sampler: samplerName(all) }, seeds);
  }, { long: true });
  asked.making = false;
  show();
}

function submit() {
  say("make-problem");
  say("make-notes");
  say("make-status");
  if ($("prompt").value.trim() === "") {
    say("make-problem", t("make.nothing"));
    return $("prompt").focus();
  }
  if (asksAbout($("prompt").value.trim(), submit)) return undefined;
  const wanted = request();
  if (!studio.long) return run(wanted);
  asked.waiting = wanted;
  const why = t(now() === "learning" ? "make.waits" : "make.waitsForOther");
  say("make-status", why);
  announce(why);
  show();
}

/** Shows what can be done. */
function show() {
  const active = document.activeElement;
  const [making, waiting] = [asked.making, asked.waiting !== undefined];
  $("generate").hidden = making || waiting;
  $("make-stop").hidden = !making && !waiting;
  say("make-stop", making ? t("make.stop") : t("make.dontWait"));
  // The focus goes where the button went.
  if (active === $("generate") && $("generate").hidden) $("make-stop").focus();
  if (active === $("make-stop") && $("make-stop").hidden) $("generate").focus();
}

function stopOrForget() {
  if (asked.making) return stop();
  asked.waiting = undefined;
  say("make-status");
  show();
}

/** What is set, beside the fold that hides it. */
function summary() {
  const parts = [["make.steps", $("make-steps").value], ["make.seed", $("make-seed").value]];
  say("make-summary", parts.filter(([, value]) => value !== "").map(([name, value]) => `${t(name)} ${value}`).join(" · "));
}

/** Something else is in the form. */
function filled() {
  last.key = "";
  say("make-notes");
  look();
  summary();
}

/** Fills the form in with the settings of pictures. */
function again(settings, seed) {
  fillIn(settings, seed);
  filled();
  $("make").scrollIntoView({ block: "nearest" });
  $("prompt").focus();
}

/** Makes more of the same, with the seeds that follow. */
function vary(settings, shots) {
  fillIn(settings, Math.max(...shots.map(({ seed }) => seed)) + 1);
  filled();
  submit();
}

/** Fills the form in with what a picture says of how it was made. What it says and cannot be had here is said; what was in the form comes back by one
 * press, and its prompt is among the earlier ones. */
export const takeUp = (file) => using("make-problem", async () => {
  say("make-notes");
  const bytes = await file.arrayBuffer();
  const { prompt, settings, model, embeddings, notes } = await call("tools.settingsOf", bytes, file.name);
  const [former, typed] = [asItIs(), $("prompt").value.trim()];
  if (typed) remember(typed);
  again({ prompt, config: settings }, settings.seed);
  notice(t("make.taken", { name: file.name, model }), () => {
    former();
    filled();
    $("prompt").focus();
  });
  const lost = embeddings.filter(({ token }) => !find(token)).map((parts) => ({ code: "no-embedding", parts }));
  const differences = studio.model ? await call("engine.differencesTo", bytes, file.name) : lost;
  for (const { code, parts, text } of [...notes, ...differences]) add("make-notes", (await engineText("likes", code, parts)) ?? t("make.notTaken"), text);
});

/** The same, unless it is wanted for something else: then `learn` is called. */
export const offerToTakeUp = (file, learn) => choice({ title: t("make.saysHow", file.name), no: t("make.learnFrom"), yes: t("make.take") }, (yes) => (yes ? takeUp(file) : learn()));

/** Makes pictures of a prompt, as if somebody had asked for them here; with the word and without it. */
export function makeNow({ prompt, seeds = chosenCount(), compare = true }) {
  usePrompt(prompt);
  const choice = [...$("make").elements.count].find(({ value }) => Number(value) >= seeds);
  if (choice) choice.checked = true;
  $("compare").checked = compare;
  submit();
  // Not what was pressed, which would be pressed again.
  $("pictures-title").focus();
}

/** Makes the room work. */
export function makeRoom() {
  promptField(words);
  gallery({ again, vary });
  picked("take", ([file]) => takeUp(file));
  $("make").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!asked.making && !asked.waiting) submit();
  });
  $("make").addEventListener("input", summary);
  chooseSyntax(look);
  // What the settings begin with comes from the engine.
  $("make-summary").closest("details").addEventListener("toggle", ({ target }) => {
    if (!target.open || studio.client) return;
    say("make-summary", t("make.starting"));
    using("make-problem", client);
  });
  // It comes where the other button was: the second press of two in a row was meant for that.
  $("make-stop").addEventListener("click", ({ detail }) => detail > 1 || stopOrForget());
  $("dice").addEventListener("click", () => {
    $("make-seed").value = Math.floor(Math.random() * 1e6);
    summary();
  });
  for (const idea of $("ideas").querySelectorAll("button")) {
    idea.addEventListener("click", () => {
      usePrompt(idea.textContent);
      $("prompt").focus();
    });
  }
  const [idea] = $("ideas").querySelectorAll("button");
  const usual = idea.textContent;
  onChange(() => {
    const newest = words().findLast(fits);
    idea.textContent = newest ? t("make.first", newest.token) : usual;
    offerSizes(studio.facts);
    summary();
    noteChanges();
    if (asked.waiting && !studio.long) {
      const wanted = asked.waiting;
      asked.waiting = undefined;
      run(wanted);
    }
    show();
  });
}
