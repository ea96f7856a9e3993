// The form of a new word: what is typed, checked while it is typed, and what it will take.

import { $ } from "../base/dom.js";
import { chosen, SAMPLES, typedIn } from "../base/settings.js";
import { size, span, t } from "../base/text.js";
import { call, client, now, onChange, reasonOf, say, studio } from "../base/studio.js";
import { lastName } from "../models/kinds.js";
import { MINI } from "../models/state.js";
import * as speed from "../start/probe.js";

/** Fields that hold numbers, by their settings. */
const NUMBERS = {
  steps: "steps", "batch-size": "batch", vectors: "vectors", seed: "seed", "preview-every": "preview-every", "eval-size": "eval-size", resolution: "side",
};

/** What the mini model sees, which is the one that is loaded where nothing else is. */
const SEEN = 64;
/** What is known of the model that is loaded. */
let facts;

/** The side in pixels that the model sees. */
export const seen = () => Number($("side").value) || facts?.side || SEEN;

/** The settings as the engine wants them; what is empty is the engine's affair. */
export function settings() {
  const init = $("init").value.trim();
  const numbers = Object.entries(NUMBERS).filter(([, id]) => $(id).value !== "").map(([key, id]) => [key, Number($(id).value)]);
  const [pooling, syntax] = ["pooling", "prompt-syntax"].map(chosen);
  return { token: $("token").value.trim(), ...(pooling && { pooling }), ...(syntax && { "prompt-syntax": syntax }), ...($("kind").value && { kind: $("kind").value }), ...(init && { init }), ...Object.fromEntries(numbers) };
}

/** The settings once the engine has looked at the word, with as many vectors as what it starts from has tokens: an everyday word may be several to
 * the model. */
export async function fitted(config) {
  await call("engine.checkToken", config.token);
  return config.init ? { ...config, vectors: Math.max(config.vectors, await call("engine.countTokens", config.init)) } : config;
}

/** Fills in what an example or a run that was left is learned with. */
export async function fillIn({ token, init, kind, pooling = "end", ...others }) {
  // So that the choices are there.
  await client();
  Object.assign($("token"), { value: token });
  Object.assign($("init"), { value: init ?? "" });
  if (kind) $("kind").value = kind;
  startFrom();
  $("pooling").value = pooling;
  for (const [key, value] of Object.entries(others)) if (NUMBERS[key] && value !== null && value !== undefined) $(NUMBERS[key]).value = value;
}

const FIELDS = ["token", "init", "kind", "pooling", ...Object.values(NUMBERS)];

/** What was typed, by its fields. */
export const typed = () => Object.fromEntries(FIELDS.map((id) => [id, typedIn($(id))]));

/** Fills the form with what was typed; or for another word. What was empty is the engine's affair, or the model's. */
export function refill(form = { token: $("token").defaultValue, init: "" }) {
  for (const id of FIELDS) if (id in form) $(id).value = form[id] || $(id).dataset.usual || (id === "init" ? "" : $(id).value);
  startFrom();
}

/** Says what to start from, by what it is. */
function startFrom() {
  $("init").placeholder = t("learn.initHolder", $("kind").value);
  if ($("init").value === "") say("init-note", t("learn.initHint", $("kind").value));
}

/** Whether what is typed can be used; what cannot is unfolded, and the browser says why. */
export function checked() {
  for (const field of $("learn").querySelectorAll("input:invalid")) field.closest("details")?.setAttribute("open", "");
  return $("learn").reportValidity();
}

/** Shows what is wrong with the token or the initializer beside them. */
export async function check() {
  if (!studio.model || studio.long) return;
  const token = $("token").value.trim();
  const init = $("init").value.trim();
  const [wrong] = await call("engine.checkToken", token).then(() => [""], reasonOf);
  if (token === $("token").value.trim()) say("token-note", wrong || t("learn.tokenHint"));
  $("token").setAttribute("aria-invalid", wrong !== "");
  const tokens = init ? await call("engine.countTokens", init) : 0;
  if (init !== $("init").value.trim()) return;
  say("init-note", init === "" ? t("learn.initHint", $("kind").value) : tokens > Number($("vectors").value) ? t("learn.initMany", tokens) : t("learn.initTokens", tokens));
}

/** Seconds that a run will take: by what was measured before, or on the mini model by a look at the GPU; nothing where neither tells. */
async function seconds({ steps, batch, evalSize, every }) {
  const sample = speed.paceOf(studio.model);
  if (!sample && studio.model !== MINI) return undefined;
  const previews = every > 0 ? 1 + Math.floor(steps / every) : 0;
  return speed.secondsFor({ steps, batch, evalSize, evaluations: 1 + Math.ceil(steps / 25), previews }, sample ? { sample } : await (probed ??= speed.probe()));
}

/** Whether what learning takes is still to be said. */
let stale = false;

/** What a look at the GPU told; one is enough. */
let probed;

/** Which way to learn is the first: on a graphics card, that of the model for photos, where it is offered. */
async function foremost() {
  const { software, gflops, sample, shaky } = await (probed ??= speed.probe());
  const card = !software && (gflops ?? sample ?? shaky) !== undefined;
  $("train-photos").classList.toggle("primary", card);
  $("train").classList.toggle("primary", !card || $("train-photos").hidden);
}

/** Says what learning will take, as far as that is known. */
async function need() {
  foremost();
  const name = studio.model;
  const mini = (name ?? lastName()) === MINI;
  say("train", mini ? t("learn.startSmall") : t("learn.start"));
  if (!name) return say("need", mini ? t("learn.need", { mini }) : t("learn.lastNeed", lastName()));
  // What it says of another model is not true any more, and the engine is asked when it is free.
  stale = studio.long;
  if (stale) return say("need");
  const config = settings();
  const needed = await call("engine.need", config).catch(() => undefined);
  const [steps, evalSize, every] = ["steps", "eval-size", "preview-every"].map((id) => Number($(id).value));
  const batch = Number($("batch").value) || SAMPLES;
  const time = await seconds({ steps, batch, evalSize, every });
  return say("need", t("learn.need", { mini, name, time: time && span(time), memory: needed && size(needed.bytes) }));
}

async function checkAll() {
  try {
    await check();
    await need();
  } catch {
    // Whatever broke is said where it was asked for.
  }
}

/** Makes the form check itself. `looked` is called when what the model sees has changed. */
export function form(looked) {
  let typing;
  let model;
  const later = () => {
    clearTimeout(typing);
    typing = setTimeout(checkAll, 250);
  };
  $("learn").addEventListener("input", later);
  $("side").addEventListener("change", looked);
  // What is unfolded is not left behind the buttons that stay in view.
  $("steps").closest("details").addEventListener("toggle", ({ target }) => target.open && target.scrollIntoView({ block: "nearest" }));
  $("kind").addEventListener("change", startFrom);
  onChange(async () => {
    // Who turns to the form will need the engine: its choices come from there. If it cannot start, who needs it says so.
    if (now() === "teach") client().catch(() => {});
    if (studio.model === model) return stale && !studio.long && later();
    model = studio.model;
    facts = model && (await call("engine.facts").catch(() => undefined));
    looked();
    later();
  });
  need();
  say("token-note", t("learn.tokenHint"));
  startFrom();
}
