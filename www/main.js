// The page: what is chosen becomes requests to the Worker, and the engine's events become words, bars and pictures.

import { drawCurve } from "./curve.js";
import { EngineClient } from "./engine.js";
import { fetchMini, lacking } from "./model.js";
import { PicturePicker, button, pictureItem } from "./pictures.js";

const $ = (id) => document.getElementById(id);
const number = (id) => $(id).valueAsNumber;
const PART = { "text-encoder": "text encoder", unet: "U-Net", vae: "autoencoder", tokenizer: "tokenizer" };

/** The engine, once a model is loaded. */
let engine;
/** Words that prompts can use: token and the phrase that stands in for it when pictures are compared. */
const words = new Map();
/** Whether the engine works on something: it does one thing at a time. */
let busy = false;

function showProblem(place, text) {
  $(place).textContent = text ?? "";
}

/** Hands a file to the user. */
function save(bytes, name) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" })), download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const png = (bytes) => new Blob([bytes], { type: "image/png" });
const fileStem = (token) => token.replace(/[^\p{L}\p{N}_-]/gu, "") || "word";

function refresh() {
  const ready = engine !== undefined && !busy;
  $("train").disabled = !ready || picker.count === 0;
  $("generate").disabled = !ready;
  $("word-files").disabled = !ready;
}

/** Does one thing with the engine; whatever goes wrong is said at `place`. */
async function using(place, work) {
  busy = true;
  refresh();
  showProblem(place);
  try {
    await work();
  } catch (error) {
    showProblem(place, error.message);
  } finally {
    busy = false;
    refresh();
  }
}

// 1. The model.

async function load() {
  const say = (text) => ($("model-status").textContent = text);
  $("load").disabled = true;
  try {
    const missing = await lacking();
    if (missing) throw new Error(missing);
    say("Fetching the model…");
    const files = await fetchMini((done, of) => say(`Fetching the model: file ${done} of ${of}`));
    const client = new EngineClient();
    say("Fetching the engine…");
    let device = "";
    await client.ask("open", { files }, (event) => {
      if (event.event === "device") device = event.name;
      if (event.event === "load") say(`Loading the ${PART[event.part]}: ${event.done} of ${event.total}`);
    });
    engine = client;
    say(`The mini model is ready${device ? ` on ${device}` : ""}.`);
    $("load").hidden = true;
  } catch (error) {
    say(`It cannot be loaded: ${error.message}`);
    $("load").disabled = false;
  }
  refresh();
}

// 2. A new word.

const picker = new PicturePicker({
  input: $("files"), place: $("drop"), list: $("thumbnails"), changed: refresh,
  refuse: (text) => showProblem("learn-problem", text),
});

/** A training that can be paused and stopped. */
const control = { paused: false, stopped: false, resume: () => {} };

$("pause").addEventListener("click", () => {
  control.paused = !control.paused;
  $("pause").textContent = control.paused ? "Go on" : "Pause";
  if (!control.paused) control.resume();
});
$("stop").addEventListener("click", () => {
  control.stopped = true;
  control.paused = false;
  control.resume();
});

/** The step about to be asked for waits here while the user wants it to. */
async function whilePaused() {
  if (control.paused) await new Promise((resolve) => (control.resume = resolve));
}

function span(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

async function learn() {
  const token = $("token").value.trim();
  const init = $("init").value.trim();
  const config = {
    token, kind: $("kind").value, steps: number("steps"), "batch-size": number("batch"), vectors: number("vectors"),
    seed: number("seed"), "preview-every": number("preview-every"), "eval-size": number("eval-size"), ...(init && { init }),
  };
  await engine.ask("checkToken", { token });
  const job = await engine.ask("train", { config, pictures: await picker.read() });
  Object.assign(control, { paused: false, stopped: false });
  for (const id of ["pause", "stop"]) $(id).hidden = false;
  $("pause").textContent = "Pause";
  $("run").hidden = false;
  $("previews").replaceChildren();
  try {
    await follow(job, config.steps);
    const bytes = await engine.ask("word", { job, format: "diffusers" });
    await keepWord(bytes, "learned_embeds.safetensors", init);
    $("prompt").value = config.kind === "style" ? `a cat in ${token} style` : `a ${token} on a blue background`;
  } finally {
    for (const id of ["pause", "stop"]) $(id).hidden = true;
    await engine.ask("end", { job });
  }
}

/** Renders a job's events until it is done or stopped. */
async function follow(job, steps) {
  const say = (text) => ($("train-status").textContent = text);
  const curve = [];
  let began;
  drawCurve($("curve"), curve, steps);
  $("progress").value = 0;
  say("Preparing the pictures…");
  for await (const event of engine.events(job)) {
    if (event.event === "encode") say(`Picture ${event.done} of ${event.total}: ${event.name}: ${event.prepared}`);
    if (event.event === "warning") showProblem("learn-problem", event.text);
    if (event.event === "evaluation" && event.on === "training") {
      curve.push({ step: event.step, loss: event.loss });
      drawCurve($("curve"), curve, steps);
    }
    if (event.event === "preview") {
      const bytes = await engine.ask("preview", { job });
      if (bytes) $("previews").append(pictureItem(png(bytes), `Preview at step ${event.step}`, `step ${event.step}`));
    }
    if (event.event === "denoise") say(`Preview: ${event.step} of ${event.of}`);
    if (event.event === "step") {
      began ??= performance.now() - 1000 * event.secs;
      const each = (performance.now() - began) / 1000 / event.step;
      $("progress").value = event.step / steps;
      say(`Step ${event.step} of ${steps}, loss ${event.loss.toFixed(4)}, ${span(each * (steps - event.step))} left`);
    }
    await whilePaused();
    if (control.stopped) break;
  }
  say(control.stopped ? "Stopped; the word is kept as it is now." : "Learned.");
}

// 3. Words.

/** Makes a word usable and lists it; one of the same name is replaced. */
async function keepWord(bytes, name, init = "", token = undefined) {
  if (token !== undefined && words.has(token)) await forget(token);
  const about = await engine.ask("addWord", { bytes, name, token });
  words.set(about.token, init);
  const item = document.createElement("li");
  item.dataset.token = about.token;
  const give = (format, ending) => async () => save(await engine.ask("export", { token: about.token, format }), `${fileStem(about.token)}.${ending}`);
  const code = Object.assign(document.createElement("code"), { textContent: about.token });
  item.append(
    code, ` ${about.vectors} ${about.vectors === 1 ? "vector" : "vectors"} `,
    button("For diffusers", give("diffusers", "safetensors"), `Download ${about.token} for diffusers`), " ",
    button("For A1111", give("a1111", "pt"), `Download ${about.token} for A1111`), " ",
    button("Remove", () => using("words-problem", () => forget(about.token)), `Remove ${about.token}`),
  );
  $("words").append(item);
}

async function forget(token) {
  await engine.ask("removeWord", { token });
  words.delete(token);
  for (const item of $("words").children) if (item.dataset.token === token) item.remove();
}

$("word-files").addEventListener("change", ({ target }) => using("words-problem", async () => {
  const problems = [];
  for (const file of target.files) {
    try {
      await keepWord(await file.arrayBuffer(), file.name);
    } catch (error) {
      problems.push(error.message);
    }
  }
  target.value = "";
  showProblem("words-problem", problems.join(" "));
}));

// 4. Pictures.

/** The prompt with each learned word's beginning in its place; nothing if there is none in it. */
function without(prompt) {
  let plain = prompt;
  for (const [token, init] of words) plain = plain.replaceAll(token, init);
  return plain === prompt ? undefined : plain.replace(/\s+/g, " ").trim();
}

async function make(prompt, config) {
  const job = await engine.ask("generate", { prompt, config });
  try {
    for await (const event of engine.events(job)) {
      if (event.event === "denoise") $("make-status").textContent = `${prompt}: step ${event.step} of ${event.of}`;
      if (event.event === "warning") showProblem("make-problem", event.text);
    }
    return (await engine.ask("pictures", { job }))[0];
  } finally {
    await engine.ask("end", { job });
  }
}

async function generate() {
  const prompt = $("prompt").value.trim();
  const config = {
    "negative-prompt": $("negative").value.trim(), steps: number("make-steps"), guidance: number("guidance"),
    seed: number("make-seed"), sampler: $("sampler").value,
  };
  const prompts = [prompt];
  if ($("compare").checked && without(prompt) !== undefined) prompts.push(without(prompt));
  const items = [];
  for (const text of prompts) {
    const bytes = await make(text, config);
    const name = `${fileStem(text.slice(0, 40))}-${config.seed}.png`;
    items.push(pictureItem(png(bytes), text, `${text} [seed ${config.seed}] `, button("Save", () => save(bytes, name), `Save ${text}`)));
  }
  $("gallery").prepend(...items);
  $("make-status").textContent = "";
}

$("load").addEventListener("click", load);
$("learn").addEventListener("submit", (event) => {
  event.preventDefault();
  using("learn-problem", learn);
});
$("make").addEventListener("submit", (event) => {
  event.preventDefault();
  using("make-problem", generate);
});

const missing = await lacking();
if (missing) {
  $("problem").textContent = missing;
  $("problem").hidden = false;
}
