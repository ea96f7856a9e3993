// What the room of models shows: one thing at a time, and in the bar at the top what the engine is at; of the loaded model the memory that work
// with it takes, and in which precision its products are made.

import { $, h, swatch } from "../base/dom.js";
import { add, ask, call, copyLink, onChange, say, studio, using } from "../base/studio.js";
import { offerFor } from "../base/settings.js";
import { familyName, size, t } from "../base/text.js";

const PARTS = { none: "model-none", plan: "plan", fetching: "fetching", loading: "fetching", part: "fetching", ready: "model-facts" };

/** What is going on: `what` is one of those above (`"part"`: there is a part of it), `"looking"` or `"broken"`; `name` the model it is about, `done` how much of it. */
const state = { what: "none", name: undefined, done: undefined };

/** The model that comes with the page. */
export const MINI = "mini";

/** What a model is called. */
export const called = (name) => (name === MINI ? t("models.mini") : name);

/** The same of a model whose weights are in eight bits. */
export const form = (text, eight) => (eight ? `${text} \u00b7 ${t("models.eight")}` : text);

/** Shows another state. */
export function turnModel(what, about = {}) {
  const same = state.what === what && state.name === about.name;
  Object.assign(state, { name: undefined, done: undefined }, about, { what });
  if (!same) {
    // A plan stays in sight while another one is made.
    const shown = what === "looking" && !$("plan").hidden ? "plan" : PARTS[what];
    for (const id of new Set(Object.values(PARTS))) $(id).hidden = id !== shown;
    $("fetch-stop").parentElement.hidden = $("getting-stop").hidden = what !== "fetching";
    $("part").hidden = what !== "part";
    head();
  }
  chip();
}

/** What is loaded does something, whatever was looked at beside it. */
export const atWork = () => turnModel("ready", { name: studio.model });

/** Whether a model is being brought or loaded. */
export const isComing = () => ["looking", "fetching", "loading"].includes(state.what);

/** The head of the card: which model, and what is known of it in a line. */
function head() {
  const { name = MINI } = state;
  const [owner, ...rest] = name === MINI ? ["", t("models.mini")] : name.includes("/") ? name.split("/") : ["", name];
  $("model-card").replaceChildren(
    swatch(name),
    h("div", {}, h("p", { class: "model-name" }, rest.join("/")), h("p", { class: "quiet" }, owner ? t("models.by", owner) : ""), h("p", { id: "model-family", class: "quiet" }), h("p", { id: "model-line", class: "quiet" }, t(`models.is.${state.what}`)),
      state.what === "ready" && owner && copyLink("model", name)),
  );
}

/** A line under the model's name. */
export const sayModel = (text) => say("model-line", text);

/** Which kind of model it is. */
export const sayFamily = (text) => say("model-family", text);

function chip() {
  const { what, done, name } = state;
  const working = what === "ready" && studio.busy && !studio.paused;
  const place = $("engine-status");
  place.dataset.state = working ? "working" : what;
  const text = t(`models.chip.${working ? "working" : what}`, { name: name && called(name.split("/").at(-1)), percent: done === undefined ? "" : t("time.share", Math.floor(done * 100)) });
  if (place.textContent !== text) place.textContent = text;
}

/** Makes the card and the chip work. */
export function showState() {
  head();
  chip();
  onChange(() => {
    // The engine broke.
    if (!studio.client && studio.started === undefined && state.what === "ready") turnModel("broken", { name: state.name });
    chip();
  });
}

// ---- The loaded model.

/** Milliseconds between two looks at the memory while something is done. */
const OFTEN = 2000;

const fact = (key, value, id) => h("div", {}, h("dt", {}, t(`models.facts.${key}`)), h("dd", { id }, value));

/** Bytes of the engine's own memory in this page; not asked for while nothing runs. */
async function memory() {
  if (!studio.model) return;
  const bytes = await ask("memory").catch(() => undefined);
  const place = $("model-memory");
  if (bytes && place) place.textContent = size(bytes);
}

/** A training with the settings as they are by default. */
export const USUAL = { token: "<word>" };

/** What that would take of the graphics memory. */
async function need() {
  const found = await call("engine.need", USUAL).catch(() => undefined);
  return found && size(found.bytes);
}

/** Fills the card of the loaded model. */
export async function showFacts() {
  const facts = await call("engine.facts").catch(() => undefined);
  const rows = [];
  studio.facts = facts;
  offerFor(facts);
  if (facts) {
    sayFamily(t("models.madeFor", { ...facts, family: familyName(facts.family), own: studio.model === MINI }));
    const teaching = await need();
    rows.push(fact("weights", size(facts.weights)));
    if (teaching) rows.push(fact("teaching", teaching));
  }
  $("model-facts").replaceChildren(...rows, fact("memory", "…", "model-memory"));
  await memory();
}

let timer;
onChange(() => {
  clearInterval(timer);
  if (studio.busy && studio.model) timer = setInterval(() => document.hidden || memory(), OFTEN);
  else if (studio.model) memory();
});

// ---- In which precision the engine makes matrix products: what is asked for, and what is done.

/** What is asked for; nothing until the engine has said what there is. */
let asked;

/** The precision to load a model with. */
export const askedPrecision = () => asked;

/** Shows how products are made, as the engine says it. */
export function sayPrecision(reason) {
  say("precision-note");
  add("precision-note", t("models.products", { reason, precision: /^in (f\d+)/.exec(reason)?.[1] ?? reason }), reason);
}

/** Offers what this graphics adapter can do; the engine is there. */
export async function offerPrecision() {
  asked ??= $("precision").value;
  const half = $("precision").querySelector("[value=f16]");
  half.disabled = !(await call("engine.hasHalves"));
  half.label = half.disabled ? t("models.noHalves", half.text) : half.text;
}

/** Takes what was chosen; if it cannot be had, what was asked for before stays. */
async function choose() {
  // Without a model it counts when one is loaded.
  if (studio.model) {
    try {
      sayPrecision(await call("engine.choosePrecision", $("precision").value));
    } catch (error) {
      $("precision").value = asked;
      throw error;
    }
  }
  asked = $("precision").value;
}

/** Makes the choice work. */
export function precisionChoice() {
  $("precision").addEventListener("change", () => using("model-problem", choose));
  onChange(() => ($("precision").disabled = studio.busy || $("precision").options.length === 0));
}
