// What a model takes before anything of it is fetched: bytes, time, room, and whether this GPU can.

import { $, h } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { decimal, size, span, t } from "../base/text.js";
import { say } from "../base/studio.js";
import { gpu } from "../start/browsers.js";
import { paceOfLarge, rounded } from "../start/probe.js";

/** Bytes of weights from which a GPU that is only software takes hours. */
const SLOW = 300e6;
/** The engine's usual batch size, until the form has it. */
const BATCH = 4;
/** What is left of the memory for the browser and the page, on a device that says how much it has: in GB. */
const OWN = 2;

/** Bytes that learning takes beside the weights for each sample of SDXL's own size, by the engine's plan. */
const SDXL_SAMPLE = 0.87e9;
/** Bytes of a single file from which it is SDXL's, and those that the halves of one, or of a smaller model, lie within. */
const SDXL_FILE = 6e9;
const HALVES = [[0, 3e9], [SDXL_FILE, 7.5e9]];

/** Whether it is SDXL, as far as files tell: by its second text encoder, or as a single file by its size. */
const isLarge = ({ files, bytes }) => files.some(({ path }) => path?.startsWith("text_encoder_2/")) || (files.length === 1 && bytes > SDXL_FILE);

/** Bytes of the weights as the engine keeps them, which is in half precision. */
function weightsOf({ files, bytes, notes }) {
  if (files.length === 1) return HALVES.some(([from, to]) => bytes > from && bytes < to) ? bytes : bytes / 2;
  const wanted = $("half").checked;
  // Where there is only the other precision, a note says so.
  const other = notes.some((note) => (wanted ? /full precision/ : /in fp16/).test(note));
  return wanted === other ? bytes / 2 : bytes;
}

/** Bytes that it takes to teach it words: with what the form asks for, and at least. */
function needOf(plan, weights) {
  if (!isLarge(plan)) return { need: 2 * weights, least: 2 * weights };
  const [batch, side] = [Number($("batch").value) || BATCH, Number($("side").value) || 1024];
  const sample = SDXL_SAMPLE * (side / 1024) ** 2;
  return { need: weights + batch * sample, least: weights + sample };
}

/** What speaks against it, the worst first; `level` is `"good"`, `"fair"` or `"bad"`. */
function verdict(plan, weights, found) {
  const { need, least } = needOf(plan, weights);
  const rest = plan.bytes - plan.here;
  const said = (level, key, about) => ({ level, text: t(`models.verdict.${key}`, about) });
  if (plan.free !== null && plan.free !== undefined && plan.free < rest) return said("bad", "full", size(rest - plan.free));
  if (found.software && weights > SLOW) return said("bad", "software");
  // Browsers say at most 8, and nothing of the graphics card's own.
  const memory = navigator.deviceMemory;
  if (memory && memory < 8 && least > (memory - OWN) * 1e9) return said("bad", "memory", { has: memory, weights: size(weights) });
  return weights > SLOW ? said("fair", "large", { need: size(need), least: need > least && size(least) }) : said("good", "small");
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
  if (downlink >= MOST) return t("models.rate.most", takes(MOST * 125e3));
  return downlink > 0 ? t("models.rate.told", takes(downlink * 125e3)) : t("models.rate.unknown", { time: takes(EXAMPLE * 125e3), rate: EXAMPLE });
}

/** How long a step of learning takes with what the form asks for, and all of them. */
async function learning(plan) {
  const [steps, batch] = ["steps", "batch"].map((id) => Number($(id).value));
  const pace = await paceOfLarge(plan.name, isLarge(plan));
  if (!pace || !(steps * batch > 0)) return undefined;
  const seconds = pace.seconds * batch;
  return t(pace.measured ? "models.pace.known" : "models.pace.guessed", { step: seconds < 2 ? t("time.seconds", decimal(seconds, Math.max(0, -Math.floor(Math.log10(seconds))))) : span(rounded(seconds)), time: span(rounded(seconds * steps)), steps });
}

/** Shows it. */
export async function showPlan(plan) {
  const found = await gpu();
  const weights = weightsOf(plan);
  const rows = {
    kind: isLarge(plan) ? t("models.sdxl") : undefined,
    download: t("models.inFiles", { bytes: size(plan.bytes), files: plan.files.length }),
    time: download(plan.bytes - plan.here),
    here: plan.here > 0 ? size(plan.here) : undefined,
    free: plan.free === null || plan.free === undefined ? undefined : size(plan.free),
    weights: plan.bytes > SLOW ? t("models.about", size(weights)) : undefined,
    gpu: found.name,
    pace: plan.bytes > SLOW ? await learning(plan) : undefined,
  };
  $("plan-facts").replaceChildren(...Object.entries(rows).filter(([, value]) => value)
    .flatMap(([key, value]) => [h("dt", {}, t(`models.plan.${key}`)), h("dd", {}, value)]));
  const { level, text } = verdict(plan, weights, found);
  $("plan-verdict").dataset.level = level;
  say("plan-verdict", text);
  say("plan-notes", plan.notes.map((note) => `${note}.`).join(" "));
  $("plan-half").hidden = plan.typed === "mini";
}
