// Turns the events of a run into what can be seen and heard of it.

import { $ } from "../base/dom.js";
import { SAMPLES } from "../base/settings.js";
import { span, t } from "../base/text.js";
import { add, announce, ask, say, studio, warn } from "../base/studio.js";
import { drawCurve } from "./curve.js";
import { addPreview, cutPreviews, lastPreview } from "./stage.js";
import { MINI } from "../models/state.js";

const TITLE = document.title;

/** The first steps compile kernels: their time says nothing about the rest. */
const WARM = 5;
/** Times of so many steps are looked at. */
const RECENT = 50;
/** While a word is tried, the times of so many passes: the first ones only look at pictures, which is less work than making them. */
const PASSES = 3;
/** Milliseconds between two guesses of the time that is left. */
const GUESS = 1000;

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** Nothing was warned of yet. */
export function forgetWarnings() {
  say("run-warnings");
  $("run-warned").hidden = true;
  $("run-warned").open = false;
}

/** Counts what was warned of: it is folded away, so that what is learned stays in view. */
function countWarnings() {
  const { length } = $("run-warnings").children;
  say("run-warned-count", t("learn.warned", length));
  $("run-warned").hidden = length === 0;
}

/** What happens to a run while it goes on, told to the page. */
export class Telling {
  #config;
  #job;
  #saved;
  /** Seconds of the latest steps, and of the latest preview. */
  #times = [];
  #made = 0;
  #at = 0;
  #preview = 0;
  #guessed = -GUESS;
  #drawing;
  /** When the latest passes of a trial ended. */
  #passes = [];
  /** What the engine found the word to be worth, once it was tried (src/train/quality/report.rs), with what it found of the state that is kept. */
  found;

  constructor({ job, config, saved }) {
    [this.#job, this.#config, this.#saved] = [job, config, saved];
    drawCurve($("curve"), saved.curve, this.steps);
    $("progress").value = 0;
    $("learning").classList.toggle("unwatched", config["preview-every"] === 0);
    say("time-left");
    say("train-status", t("learn.preparing"));
    announce(t("learn.begun"));
  }

  get steps() {
    return this.#config.steps;
  }

  /** Seconds that a sample takes; nothing until that is known. */
  get pace() {
    return this.#made < WARM ? undefined : median(this.#times) / (this.#config["batch-size"] ?? SAMPLES);
  }

  /** Steps that were made until now, at earlier visits too. */
  get made() {
    return this.#at;
  }

  /** Whether the word was learned to the end, and was not tried to the end. */
  get untried() {
    return this.#passes.length > 0 && !this.found;
  }

  /** Tells one event; gives the number of a step if one was made. */
  async tell(event) {
    return this[event.event]?.(event);
  }

  encode({ done, total, name, prepared }) {
    say("train-status", t("learn.picture", { done, total, name, prepared }));
  }

  async warning(event) {
    await warn("run-warnings", event);
    countWarnings();
  }

  skipped({ step, reason }) {
    add("run-warnings", t("learn.skipped", { step, reason }));
    countWarnings();
  }

  rewound({ to, reason }) {
    this.#at = to;
    add("run-warnings", t("learn.rewound", { to, reason }));
    countWarnings();
    this.#saved.curve = this.#saved.curve.filter((one) => one.step <= to);
    cutPreviews(to);
  }

  resumed({ step, of }) {
    this.#at = step;
    say("train-status", t("learn.resumed", { step, of }));
    $("progress").value = step / of;
  }

  evaluation({ on, step, loss, initial }) {
    if (on !== "training") return;
    // What was kept of a run may lack where it began.
    const before = this.#saved.curve.filter((one) => one.step < step);
    this.#saved.curve = [...(before.length === 0 && step > 0 ? [{ step: 0, loss: initial }] : before), { step, loss }];
    drawCurve($("curve"), this.#saved.curve, this.steps);
  }

  denoise({ step, of }) {
    this.#drawing ??= performance.now();
    say("train-status", t("learn.previewing", { step, of }));
    if (!lastPreview()) say("shown-empty", t("learn.firstPreview", { step, of }));
  }

  async preview({ step }) {
    if (this.#drawing !== undefined) this.#preview = (performance.now() - this.#drawing) / 1000;
    this.#drawing = undefined;
    const bytes = await ask("job.preview", { job: this.#job });
    if (!bytes) return;
    addPreview(step, bytes);
    await this.#saved.keepPreview(step, bytes);
  }

  step({ step, of, secs }) {
    this.#made++;
    this.#at = step;
    if (this.#made > 1) this.#times = [...this.#times, secs].slice(-RECENT);
    $("progress").value = step / of;
    say("train-status", t("learn.step", { step, of }));
    this.#guess(step);
    const percent = Math.floor((100 * step) / of);
    document.title = `[${percent}%] ${TITLE}`;
    // A tenth at a time is enough for a screen reader.
    if (Math.floor((10 * step) / of) > Math.floor((10 * (step - 1)) / of)) announce(t("learn.percent", percent));
    return step;
  }

  async trying({ done, total }) {
    this.#passes = [...this.#passes, performance.now()].slice(-1 - PASSES);
    const [first, last, made] = [this.#passes[0], this.#passes.at(-1), this.#passes.length - 1];
    $("progress").value = done / total;
    say("train-status", t("learn.trying", { done, total }));
    say("time-left", made ? t("learn.left", span(((last - first) / 1000 / made) * (total - done))) : "");
    if (made) return;
    announce($("train-status").textContent);
    // Whoever leaves now has learned the word.
    await this.#saved.save(this.#job, this.#at, true);
  }

  quality(event) {
    const { level, kept, states } = event;
    // It may not have been found out.
    if (level) this.found = { ...states.find(({ step }) => step === kept), ...event, mini: studio.model === MINI };
    // What the word was later is no part of it.
    cutPreviews(kept);
  }

  /** Says how long it will take, about. */
  #guess(step) {
    if (this.#made < WARM || performance.now() - this.#guessed < GUESS) return;
    this.#guessed = performance.now();
    const every = this.#config["preview-every"];
    const previews = every ? Math.floor(this.steps / every) - Math.floor(step / every) : 0;
    say("time-left", t("learn.left", span(median(this.#times) * (this.steps - step) + previews * this.#preview)));
  }

  /** The page is about no run any more. */
  static end() {
    say("time-left");
    document.title = TITLE;
  }

  static paused() {
    document.title = `[${t("learn.pausedTitle")}] ${TITLE}`;
  }
}

/** Follows a run until it is done or stopped. */
export async function follow({ job, config, saved, control }) {
  const telling = new Telling({ job, config, saved });
  for await (const event of studio.client.events(job)) {
    const step = await telling.tell(event);
    if (step) await saved.save(job, step);
    if (control.paused) {
      if (step) await saved.save(job, step, true);
      await control.whilePaused();
    }
    if (control.stopped) break;
  }
  say("train-status", t("learn.saving"));
  return telling;
}
