// What a model takes before anything of it is fetched: bytes, time, room, and whether this GPU can.

import { $, terms } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { decimal, familyName, size, span, t } from "../base/text.js";
import { SAMPLES, typedIn, usualSteps } from "../base/settings.js";
import { say } from "../base/studio.js";
import { gpu } from "../start/browsers.js";
import { paceOfLarge, rounded } from "../start/probe.js";
import { form, MINI } from "./state.js";

/** Bytes of weights from which a GPU that is only software takes hours. */
const SLOW = 300e6;
/** What is left of the memory for the browser and the page, on a device that says how much it has: in GB. */
const OWN = 2;

/** By the engine's plan (see benches/README.md), of SDXL and of what is smaller: bytes of the weights that are not on the GPU while it learns, and that
 * learning takes beside the others: for each sample of so many pixels a side, and at least, for a preview. */
const NEEDS = { xl: { elsewhere: 0.32e9, sample: 0.87e9, side: 1024, least: 0 }, small: { elsewhere: 0.15e9, sample: 0.23e9, side: 512, least: 0.54e9 } };
/** From how many bytes of weights in half precision it is Stable Diffusion 2.x, which mostly sees 768 pixels, unless its name says otherwise. */
const SECOND = 2.4e9;
/** Whether it is SDXL: by its header, or by its second text encoder. */
const isSdxl = ({ files, foretold }) => foretold?.sdxl ?? files.some(({ path }) => path?.startsWith("text_encoder_2/"));

/** Bytes of the autoencoder in half precision, which stays so, and what eight bits take of half precision. */
const [VAE, EIGHT] = [167e6, 17 / 32];

/** What weights of so many bytes in half precision take in eight bits. */
function inEight(halves) {
  const vae = Math.min(VAE, halves / 10);
  return vae + (halves - vae) * EIGHT;
}

/** Whether its files are in eight bits. */
const isEight = ({ packed, stored, eight }) => packed || (stored && eight);

/** Bytes of the weights in half precision, of a model in several files. */
function halvesOf({ files, bytes, instead, ...rest }) {
  if (isEight(rest)) return (bytes - VAE) / EIGHT + VAE;
  // Nearly all models have the same autoencoder, whose length tells more than names do. Of small ones it is the most that it may be.
  if (bytes < 3 * VAE || files.some((file) => file.path?.startsWith("vae/") && file.bytes > VAE && file.bytes < 1.01 * VAE)) return bytes;
  const wanted = $("half").checked;
  return wanted === Boolean(instead) ? bytes / 2 : bytes;
}

/** Bytes of the GPU's memory: `weights` as it holds them, and what teaching it words takes, `need` with what the form asks for and `least` with one
 * sample at a time. */
function memoryOf(plan) {
  const [sdxl, halves] = [isSdxl(plan), halvesOf(plan)];
  const { elsewhere, sample, side, least } = NEEDS[sdxl ? "xl" : "small"];
  const own = plan.foretold?.side ?? (!sdxl && halves > SECOND && !/base|512/.test(plan.name) ? 768 : side);
  const one = sample * ((Number($("side").value) || own) / side) ** 2;
  const weights = plan.foretold?.weights[+plan.eight] ?? (plan.eight ? inEight(halves) - 0.7 * elsewhere : halves - elsewhere);
  const taking = (samples) => weights + Math.max(least, samples * one);
  // The engine takes SDXL's samples one at a time.
  return { weights, need: taking(Number($("batch").value) || (sdxl ? 1 : SAMPLES)), least: taking(1), sdxl };
}

/** Seconds of learning from which on nobody should begin, and of a picture, for which nobody should load a model. */
const [HOPELESS, TOO_LONG] = [86400, 3600];
/** How many times the work of a sample's gradient a picture is: 25 steps of two predictions. */
const PICTURE = 24;

const said = (level, key, about) => ({ level, text: t(`models.verdict.${key}`, about) });

/** Bytes that are still to come. */
const restOf = ({ stored, bytes, here }) => (stored ? 0 : bytes - here);

/** What speaks against downloading it, the worst first; `level` is `"good"`, `"fair"` or `"bad"`, and `hopeless` whether learning takes too
 * long here. `pace` is what `learning` gives. */
function verdict(plan, memory, found, pace) {
  if (plan.free !== null && plan.free < plan.room) return said("bad", "full", size(plan.room - plan.free));
  return limits(memory, found, pace);
}

/** What speaks against a model whose weights take so much of the GPU, learning so much, and with one sample at a time at least so much. */
function limits({ weights, need, least, sdxl }, found, pace) {
  if (!(weights > SLOW)) return said("good", "small");
  if (pace ? pace.seconds > HOPELESS : found.software) {
    const picture = pace?.picture < TOO_LONG && span(rounded(pace.picture));
    return { ...said("bad", "hopeless", { time: pace && span(rounded(pace.seconds)), software: found.software, picture, sdxl }), hopeless: true };
  }
  // Browsers say at most 8, and nothing of the graphics card's own.
  const memory = navigator.deviceMemory;
  if (memory && memory < 8 && least > (memory - OWN) * 1e9) return said("bad", "memory", { has: memory, weights: size(weights) });
  return said("fair", "large", { need: size(need), least: need > least && size(least) });
}

/** Bytes a second of the last large download. */
const RATE = "pseudoword-rate";
export const keepRate = (rate) => keep(RATE, rate);

/** Megabits a second that are tried where nobody knows, and the most that browsers tell. */
const [EXAMPLE, MOST] = [50, 10];

/** How long so many bytes take, and how that is known. */
function download(bytes) {
  const takes = (rate) => span(rounded(bytes / rate));
  const rate = recall(RATE);
  if (rate > 0) return t("models.rate.known", takes(rate));
  const { downlink } = navigator.connection ?? {};
  return downlink > 0 ? t("models.rate.told", { time: takes(Math.min(downlink, MOST) * 125e3), most: downlink >= MOST }) : t("models.rate.unknown", { time: takes(EXAMPLE * 125e3), rate: EXAMPLE });
}

/** What is said of a model of this computer before it is loaded, by the engine's outlook on it, and whether it is too large. */
export async function sayOutlook(outlook) {
  const { text, level, hopeless } = limits({ ...outlook, sdxl: outlook.family === "SDXL" }, await gpu());
  return { text: `${t("models.madeFor", { ...outlook, family: familyName(outlook.family) })}. ${text}`, tight: level === "bad" && !hopeless };
}

/** How long a step of learning takes with what the form asks for, and all of them: `{text, seconds}`; and seconds that a `picture` takes. */
async function learning(plan) {
  const [steps, batch] = [Number(typedIn($("steps")) || usualSteps[isSdxl(plan) ? "SDXL" : "SD 1.x"]), Number($("batch").value) || SAMPLES];
  const pace = await paceOfLarge(plan.name, isSdxl(plan));
  if (!pace || !(steps * batch > 0)) return undefined;
  const seconds = pace.seconds * batch;
  const step = seconds < 2 ? t("time.seconds", decimal(seconds, Math.max(0, -Math.floor(Math.log10(seconds))))) : span(rounded(seconds));
  const text = t(pace.measured ? "models.pace.known" : "models.pace.guessed", { step, time: span(rounded(seconds * steps)), steps });
  return { text, seconds: seconds * steps, picture: PICTURE * pace.seconds };
}

/** Shows it. */
export async function showPlan(plan) {
  const found = await gpu();
  const memory = memoryOf(plan);
  const rest = restOf(plan);
  const pace = plan.bytes > SLOW ? await learning(plan) : undefined;
  const rows = {
    kind: memory.sdxl ? t("models.sdxl") : undefined,
    download: form(t("models.inFiles", { bytes: size(plan.bytes), files: plan.files.length }), isEight(plan)),
    time: rest > 0 && download(rest),
    here: rest < plan.bytes && size(plan.bytes - rest),
    free: plan.free === null || plan.free === undefined ? undefined : size(plan.free),
    weights: plan.bytes > SLOW ? t("models.about", size(memory.weights)) : undefined,
    gpu: found.name,
    pace: pace?.text,
  };
  $("plan-facts").replaceChildren(...terms(rows, (key) => t(`models.plan.${key}`)));
  const { level, text, hopeless = false } = verdict(plan, memory, found, pace);
  $("plan-verdict").dataset.level = level;
  // What is hopeless can be had all the same, but is not what the page proposes.
  $("plan").classList.toggle("hopeless", hopeless);
  $("fetch").classList.toggle("primary", !hopeless);
  say("plan-verdict", text);
  say("plan-notes", plan.instead && t(`models.instead.${plan.instead}`));
  const own = plan.stored || plan.packed || plan.name === MINI;
  $("plan-half").hidden = own || plan.foretold;
  $("plan-eight").hidden = own;
  $("eight").checked = plan.eight;
  say("eight-text", t("models.keepEight", { eight: size(plan.foretold?.eight ?? inEight(halvesOf(plan))), bytes: size(plan.bytes) }));
}
