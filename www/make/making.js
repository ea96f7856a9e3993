// Pictures being made: one after the other, with what is left to do, until they are done or stopped.

import { png, span, t } from "../base/text.js";
import { add, announce, ask, call, say, studio, warn } from "../base/studio.js";
import { pictureOf } from "../words/shelf.js";
import { beginSet } from "./gallery.js";
import { misfit } from "./prompt.js";

/** Set to end what is being made. */
const control = { stopped: false };

export function stop() {
  control.stopped = true;
  say("make-status", t("make.stopping"));
}

/** Time left, from the median of what the parts of the work took. */
class Clock {
  #times = [];
  #last = performance.now();

  constructor(parts) {
    this.left = parts;
  }

  tick() {
    const now = performance.now();
    this.#times.push(now - this.#last);
    [this.#last, this.left] = [now, this.left - 1];
  }

  /** Seconds left; nothing while too little is known. The first part also does what is done once. */
  get seconds() {
    const times = this.#times.slice(1).sort((a, b) => a - b);
    return times.length < 2 ? undefined : (times[times.length >> 1] * this.left) / 1000;
  }
}

/** Looks at a picture on its way take at most this share of the time. */
const SKETCHING = 0.15;

/** One picture, a PNG; nothing if it was stopped. `onStep(step, of)` is called with each step, and `onSketch(bytes)` with what is becoming
 * of it, now and then. */
async function one(prompt, config, onStep, onSketch) {
  const job = await ask("generate", { prompt, config });
  let [since, took] = [performance.now(), 0];
  try {
    for await (const event of studio.client.events(job)) {
      if (event.event === "denoise") onStep(event.step, event.of);
      const began = performance.now();
      // The first after a quarter of the steps: before that there is nothing to be seen.
      if (event.event === "denoise" && event.step < event.of && event.step >= event.of / 4 && took <= (began - since) * SKETCHING) {
        const bytes = await ask("job.sketch", { job });
        since = performance.now();
        took = since - began;
        if (bytes) onSketch(bytes);
      }
      // Of a word that does not fit all is said in the form.
      if (event.event === "warning" && !(event.code === "unknown-embedding" && misfit(prompt))) await warn("make-notes", event);
      if (control.stopped) return undefined;
    }
    return (await ask("job.pictures", { job }))[0];
  } finally {
    if (studio.client) await ask("end", { job }).catch(() => {});
  }
}

/** Makes the pictures of one seed: with the word, and without it if there is a prompt for that. Nothing if it was stopped. */
async function shot({ settings, seed, set, number, of, clock }) {
  const prompts = settings.without === undefined ? [settings.prompt] : [settings.prompt, settings.without];
  const blobs = [];
  for (const prompt of prompts) {
    const bytes = await one(prompt, { ...settings.config, seed }, (step, steps) => {
      clock.tick();
      set.step(seed, (blobs.length + step / (steps + 1)) / prompts.length);
      say("make-status", t("make.progress", { number, of, step, steps, left: clock.seconds && span(clock.seconds) }));
    }, (bytes) => set.sketch(seed, png(bytes)));
    if (!bytes) return undefined;
    // Its decoding.
    clock.tick();
    blobs.push(new Blob([bytes], { type: "image/png" }));
  }
  return blobs;
}

/** The words in a prompt get their picture on the shelf, where they have none. */
async function showWords({ prompt, config }, blob) {
  for (const { token } of (await call("engine.promptInfo", prompt, config["prompt-syntax"])).words) await pictureOf(token, blob, prompt);
}

/** Makes pictures: `given` are `{prompt, config, compare, sampler}`, one picture, or one with and one without, for each of `seeds`. */
export async function produce({ compare, ...given }, seeds) {
  control.stopped = false;
  say("make-status", t("make.starting"));
  announce(t("make.started", seeds.length));
  const without = compare ? await call("engine.without", given.prompt, given.config["prompt-syntax"]) : undefined;
  if (compare && without === undefined && !misfit(given.prompt)) add("make-notes", t("make.noWord"));
  const settings = { ...given, without, model: studio.model };
  const clock = new Clock(seeds.length * (without === undefined ? 1 : 2) * (given.config.steps + 1));
  const set = beginSet(settings, seeds, without !== undefined);
  let made = 0;
  try {
    for (const [at, seed] of seeds.entries()) {
      const blobs = await shot({ settings, seed, set, number: at + 1, of: seeds.length, clock });
      if (!blobs) break;
      await set.done(seed, blobs);
      if (at === 0) await showWords(given, blobs[0]);
      made += 1;
    }
  } finally {
    const text = control.stopped ? t("make.stopped", { made, of: seeds.length }) : "";
    say("make-status", text);
    if (made > 0 || text) announce(text || t("make.ready", made));
    await set.end();
  }
}
