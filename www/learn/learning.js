// Card 2: pictures become an embedding. Its state is saved during the run, so that a closed tab costs a few steps at most.

import { drawCurve } from "./curve.js";
import { BrokenEngine } from "./engine.js";
import { PicturePicker, pictureItem } from "./pictures.js";
import { $, add, announce, ask, call, changed, number, onChange, png, say, span, studio, using } from "./studio.js";

/** The description of a saved run; its pictures are beside it, and its state as the engine keeps it. */
const RUN = "run/run.json";
/** Steps and milliseconds after which a run is saved again. */
const SAVE_STEPS = 25;
const SAVE_TIME = 30_000;

/** Held by the tab that trains. */
const LOCK = "pseudoword-run";

const title = document.title;
const picker = new PicturePicker({
  input: $("files"), place: $("drop"), list: $("thumbnails"), changed,
  refuse: (text) => say("learn-problem", text),
});

/** A training that can be paused and stopped. */
const control = { running: false, paused: false, stopped: false, done: false, resume: () => {} };

/** The next step waits here while the user wants it to. */
async function whilePaused() {
  if (control.paused) await new Promise((resolve) => (control.resume = resolve));
}

/** The settings as the engine wants them. */
function settings() {
  const init = $("init").value.trim();
  const side = number("side");
  return {
    token: $("token").value.trim(), kind: $("kind").value, steps: number("steps"), "batch-size": number("batch"),
    vectors: number("vectors"), seed: number("seed"), "preview-every": number("preview-every"),
    "eval-size": number("eval-size"), ...(init && { init }), ...(side && { resolution: side }),
  };
}

/** Shows what is wrong with the token or the initializer beside them, while they are typed. */
async function check() {
  if (!studio.model || control.running) return;
  const token = $("token").value.trim();
  const init = $("init").value.trim();
  const wrong = await call("engine.checkToken", token).then(() => "", (error) => error.message);
  if (token === $("token").value.trim()) say("token-note", wrong);
  $("token").setAttribute("aria-invalid", wrong !== "");
  const tokens = init ? await call("engine.countTokens", init) : 0;
  if (init !== $("init").value.trim()) return;
  const many = tokens > number("vectors");
  say("init-note", init === "" ? "" : many
    ? `${tokens} tokens: set at least ${tokens} vectors (Settings), or choose a shorter word`
    : `${tokens} ${tokens === 1 ? "token" : "tokens"}`);
  $("init").setAttribute("aria-invalid", many);
}

/** Saves and fetches runs. Only one tab may: the lock says which. */
class SavedRun {
  #at = 0;
  #step = 0;
  /** What a run is started with, until it is kept. */
  #given;

  /** Begins with a new run. */
  async begin(config, pictures) {
    await this.forget();
    this.#given = { config, pictures };
    this.#at = performance.now();
  }

  /** Keeps what the run is started with; the description comes last and makes it count. */
  async #describe({ config, pictures }) {
    for (const [i, { bytes }] of pictures.entries()) await call("storage.put", `run/picture-${i}`, bytes);
    const about = { model: studio.model, config, pictures: pictures.map(({ name, caption }) => ({ name, caption })) };
    await call("storage.put", RUN, new TextEncoder().encode(JSON.stringify(about)));
  }

  /** Saves the state if it is time. A failure ends nothing: it is reported, and saving is tried again. */
  async save(job, step, now = false) {
    if (!now && step - this.#step < SAVE_STEPS && performance.now() - this.#at < SAVE_TIME) return;
    const state = await ask("job.state", { job });
    [this.#at, this.#step] = [performance.now(), step];
    try {
      if (this.#given) await this.#describe(this.#given);
      this.#given = undefined;
      await call("storage.saveState", state);
    } catch (error) {
      if (error instanceof BrokenEngine) throw error;
      return say("saved-status", `Not saved after step ${step}, so leave this tab open: ${error.message}`);
    }
    say("saved-status", `Saved after step ${step}: if this tab closes, it resumes from there.`);
  }

  /** What was left unfinished: `{model, config, pictures, state, step, warning?}`, or `{model, config, unusable}` if it is damaged. */
  async find() {
    const described = await call("storage.get", RUN);
    if (!described) return undefined;
    const { model, config, pictures } = JSON.parse(new TextDecoder().decode(described));
    const state = await call("storage.savedState");
    if (!state || state.unusable) return state && { model, config, ...state };
    const found = await Promise.all(pictures.map(async (picture, i) => ({ ...picture, bytes: await call("storage.get", `run/picture-${i}`) })));
    [this.#step, this.#at] = [state.step, performance.now()];
    return { model, config, pictures: found, ...state };
  }

  forget() {
    [this.#step, this.#given] = [0, undefined];
    return call("storage.forgetRun");
  }
}

const saved = new SavedRun();

/** Trains; `unfinished` is a run to resume. */
async function learn(keep, unfinished) {
  const config = unfinished?.config ?? settings();
  const pictures = unfinished?.pictures ?? (await picker.read());
  await navigator.locks.request(LOCK, { ifAvailable: true }, async (lock) => {
    if (!lock) throw new Error("Another tab of this page is training: wait for it, or stop it there.");
    await call("engine.checkToken", config.token);
    const job = await ask("train", { config, pictures, state: unfinished?.state });
    if (!unfinished) await saved.begin(config, pictures);
    const awake = await navigator.wakeLock?.request("screen").catch(() => undefined);
    Object.assign(control, { running: true, paused: false, stopped: false });
    for (const id of ["pause", "stop"]) $(id).hidden = false;
    say("pause", "Pause");
    $("unfinished").hidden = true;
    $("run").hidden = false;
    $("previews").replaceChildren();
    $("pause").focus();
    try {
      await follow(job, config.steps);
      await keep(await embedding(job), "learned_embeds.safetensors");
      await saved.forget();
      control.done = true;
      say("saved-status");
      $("prompt").value = config.kind === "style" ? `a cat in ${config.token} style` : `a ${config.token} on a blue background`;
    } finally {
      control.running = false;
      document.title = title;
      await awake?.release();
      for (const id of ["pause", "stop"]) $(id).hidden = true;
      if (studio.client) await ask("end", { job }).catch(() => {});
    }
  });
}

/** The file of what a job has learned so far. */
const embedding = (job) => ask("job.embedding", { job, args: ["diffusers"] });

/** Renders a job's events until it is done or stopped. */
async function follow(job, steps) {
  const curve = [];
  let began, first;
  drawCurve($("curve"), curve, steps);
  $("progress").value = 0;
  say("train-status", "Preparing the pictures…");
  announce("Training has started.");
  const client = studio.client;
  for await (const event of client.events(job)) {
    if (event.event === "encode") say("train-status", `Picture ${event.done} of ${event.total}: ${event.name}: ${event.prepared}`);
    if (event.event === "warning") add("learn-problem", event.text);
    if (event.event === "skipped") say("learn-problem", `Step ${event.step} was skipped: ${event.reason}`);
    if (event.event === "rewound") {
      say("learn-problem", `Training diverged (${event.reason}): restarting from step ${event.to} at half the learning rate.`);
      curve.splice(0, curve.length, ...curve.filter(({ step }) => step <= event.to));
    }
    if (event.event === "resumed") say("train-status", `Resuming after step ${event.step} of ${event.of}`);
    if (event.event === "evaluation" && event.on === "training") {
      curve.push({ step: event.step, loss: event.loss });
      drawCurve($("curve"), curve, steps);
    }
    if (event.event === "preview") {
      const bytes = await client.ask("job.preview", { job });
      if (bytes) $("previews").append(pictureItem(png(bytes), `Preview at step ${event.step}`, `step ${event.step}`));
    }
    if (event.event === "denoise") say("train-status", `Preview: ${event.step} of ${event.of}`);
    if (event.event === "step") {
      if (began === undefined) [began, first] = [performance.now() - 1000 * event.secs, event.step - 1];
      const made = event.step - first;
      // The first steps compile kernels: their time says nothing about the rest.
      const left = made < 5 ? "" : `, about ${span(((performance.now() - began) / 1000 / made) * (steps - event.step))} left`;
      $("progress").value = event.step / steps;
      say("train-status", `Step ${event.step} of ${steps}, loss ${event.loss.toFixed(4)}${left}`);
      const percent = Math.floor((100 * event.step) / steps);
      document.title = `[${percent}%] ${title}`;
      // A tenth at a time is enough for a screen reader.
      if (Math.floor((10 * event.step) / steps) > Math.floor((10 * (event.step - 1)) / steps)) announce(`${percent} % learned.`);
      await saved.save(job, event.step);
    }
    if (control.paused) {
      if (event.event === "step") await saved.save(job, event.step, true);
      const before = performance.now();
      await whilePaused();
      if (began !== undefined) began += performance.now() - before;
    }
    if (control.stopped) break;
  }
  say("train-status", "Saving the embedding…");
}

/** Trains, and reports how it ended once everything is kept and the engine is free again. */
async function learned(work) {
  control.done = false;
  await using("learn-problem", work, { long: true });
  if (!control.done) return say("train-status");
  say("train-status", control.stopped ? "Stopped; the embedding is kept as it is now." : "Learned.");
  announce(control.stopped ? "Stopped; the embedding is kept." : "Learned.");
}

/** Offers to resume what was left unfinished. */
async function offer() {
  const run = await saved.find();
  $("unfinished").hidden = true;
  if (!run) return;
  const { token, steps } = run.config;
  const { held } = await navigator.locks.query();
  const taken = held.some(({ name }) => name === LOCK);
  const elsewhere = run.model === studio.model ? "" : ` It was learned on ${run.model}: load that model to resume.`;
  const damaged = run.warning ? ` A newer state is damaged (${run.warning}).` : "";
  const stopped = run.unusable
    ? `A run that learned ${token} was saved, but it cannot be resumed (${run.unusable}).`
    : `Learning ${token} stopped at step ${run.step} of ${steps}.${elsewhere}${damaged}`;
  say("unfinished-text", taken ? `Another tab is learning ${token}: it is at step ${run.step ?? 0} of ${steps} or later.` : stopped);
  for (const id of ["continue", "keep"]) $(id).hidden = taken || elsewhere !== "" || run.unusable !== undefined;
  $("discard").hidden = taken;
  $("unfinished").hidden = false;
}

/** Makes the card work; `keep` gets the file of an embedding. Gives what is to be called when a model is loaded. */
export function learnCard(keep) {
  $("learn").addEventListener("submit", (event) => {
    event.preventDefault();
    learned(() => learn(keep));
  });
  $("continue").addEventListener("click", () => learned(async () => {
    const run = await saved.find();
    if (run) await learn(keep, run);
  }));
  $("keep").addEventListener("click", () => using("learn-problem", async () => {
    const run = await saved.find();
    if (!run) return;
    const job = await ask("train", { config: run.config, pictures: run.pictures, state: run.state });
    try {
      await keep(await embedding(job), "learned_embeds.safetensors");
    } finally {
      await ask("end", { job });
    }
    await saved.forget();
    $("unfinished").hidden = true;
    announce("The embedding is kept.");
  }));
  $("discard").addEventListener("click", () => using("learn-problem", async () => {
    await saved.forget();
    $("unfinished").hidden = true;
  }));
  $("pause").addEventListener("click", () => {
    control.paused = !control.paused;
    say("pause", control.paused ? "Resume" : "Pause");
    announce(control.paused ? "Paused." : "Resuming.");
    document.title = control.paused ? `[paused] ${title}` : title;
    if (!control.paused) control.resume();
  });
  $("stop").addEventListener("click", () => {
    control.stopped = true;
    control.paused = false;
    control.resume();
  });
  let typing;
  for (const id of ["token", "init", "vectors"]) {
    $(id).addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(check, 250);
    });
  }
  window.addEventListener("beforeunload", (event) => {
    if (control.running) event.preventDefault();
  });
  onChange(() => {
    $("train").disabled = !studio.model || studio.busy || picker.count === 0;
    $("crop-note").hidden = picker.count === 0;
    $("caption-note").hidden = picker.captioned === 0;
    say("caption-note", picker.captioned === picker.count
      ? "These captions are used instead of the built-in sentences."
      : `Only ${picker.captioned} of ${picker.count} pictures have captions, so none are used.`);
    for (const id of ["continue", "keep", "discard"]) $(id).disabled = studio.busy && !control.running;
  });
  return async () => {
    await check();
    await offer();
  };
}
