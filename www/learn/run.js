// A run as it is kept in the browser's storage, so that a closed tab costs a few steps at most.

import * as disk from "../base/disk.js";
import { BrokenEngine } from "../base/engine.js";
import { ask, call, reasonOf, say, studio } from "../base/studio.js";
import { t } from "../base/text.js";

/** Where a run is kept: its description, which makes it count; its pictures, its previews, and how far it is, beside it. The engine keeps
 * its state there, too. */
const FOLDER = "run";
const RUN = `${FOLDER}/run.json`;
const STEP = `${FOLDER}/step.json`;
const PREVIEW = "preview-";
/** Steps and milliseconds after which a run is saved again. */
const SAVE_STEPS = 25;
const SAVE_TIME = 30_000;

/** Held by the tab that trains. */
const LOCK = "pseudoword-run";

/** Does something that only one tab may do at a time. */
export const alone = (work) => navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
  if (!lock) throw new Error(t("learn.otherTab"));
  return work();
});

/** Whether a tab trains. */
export const taken = async () => (await navigator.locks.query()).held.some(({ name }) => name === LOCK);

/** Resolves when no tab trains any more. */
export const released = () => navigator.locks.request(LOCK, () => {});

const encoded = (about) => new TextEncoder().encode(JSON.stringify(about));
const decoded = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

/** What was left unfinished, as far as can be told without the engine: `{model, config, step?, preview?: Blob}`. */
export async function peek() {
  const file = async (here, name) => (await here.getFileHandle(name)).getFile();
  try {
    const here = await (await disk.folder()).getDirectoryHandle(FOLDER);
    const about = JSON.parse(await (await file(here, "run.json")).text());
    const { step, preview } = await file(here, "step.json").then((at) => at.text()).then(JSON.parse).catch(() => ({}));
    return { ...about, step, preview: preview === undefined ? undefined : await file(here, PREVIEW + preview).catch(() => undefined) };
  } catch {
    // There is none, or the browser gives this page no storage.
    return undefined;
  }
}

/** Saves and fetches runs. */
export class SavedRun {
  #at = 0;
  #step = 0;
  #preview;
  /** What a run is started with, until it is kept. */
  #given;
  /** The evaluations so far, `{step, loss}`: kept with the run. */
  curve = [];

  /** Begins with a new run; or goes on with one of which nothing is kept any more, but for the `curve` until here. */
  async begin(config, pictures, curve = []) {
    await this.forget();
    [this.#given, this.curve] = [{ config, pictures }, curve];
    this.#at = performance.now();
  }

  /** Keeps what the run is started with; the description comes last and makes it count. */
  async #describe({ config, pictures }) {
    for (const [i, { bytes }] of pictures.entries()) await call("storage.put", `${FOLDER}/picture-${i}`, bytes);
    const about = { model: studio.model, config, pictures: pictures.map(({ bytes, ...rest }) => rest) };
    await call("storage.put", RUN, encoded(about));
  }

  /** Keeps a preview, if there is room. */
  async keepPreview(step, bytes) {
    try {
      await call("storage.put", `${FOLDER}/${PREVIEW}${step}`, bytes);
      this.#preview = step;
    } catch (error) {
      if (error instanceof BrokenEngine) throw error;
    }
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
      await call("storage.put", STEP, encoded({ step, preview: this.#preview, curve: this.curve }));
    } catch (error) {
      if (error instanceof BrokenEngine) throw error;
      return say("saved-status", t("learn.notSaved", { step, reason: (await reasonOf(error))[0] }));
    }
    say("saved-status", t("learn.savedAt", step));
  }

  /** What was left unfinished: `{model, config, pictures, previews, state, step, warning?}`, or `{model, config, unusable}` if it is
   * damaged. */
  async find() {
    const described = await call("storage.get", RUN);
    if (!described) return undefined;
    const { model, config, pictures } = decoded(described);
    const state = await call("storage.savedState");
    if (!state || state.unusable) return state && { model, config, ...state };
    const found = await Promise.all(pictures.map(async (picture, i) => ({ ...picture, bytes: await call("storage.get", `${FOLDER}/picture-${i}`) })));
    const names = (await call("storage.list", FOLDER)).filter((name) => name.startsWith(PREVIEW));
    const steps = names.map((name) => Number(name.slice(PREVIEW.length))).filter((step) => step <= state.step).sort((a, b) => a - b);
    const previews = await Promise.all(steps.map(async (step) => ({ step, bytes: await call("storage.get", `${FOLDER}/${PREVIEW}${step}`) })));
    [this.#step, this.#at, this.#preview] = [state.step, performance.now(), steps.at(-1)];
    this.curve = (await this.#sofar()).filter(({ step }) => step <= state.step);
    return { model, config, pictures: found, previews, ...state };
  }

  /** The evaluations that were kept. They only tell what was: none are as good as damaged ones. */
  async #sofar() {
    const found = await call("storage.get", STEP);
    try {
      return found ? (decoded(found).curve ?? []) : [];
    } catch {
      return [];
    }
  }

  /** Forgets the run, with its pictures; without the engine if that has not been fetched. */
  async forget() {
    [this.#step, this.#given, this.#preview, this.curve] = [0, undefined, undefined, []];
    if (studio.client) return call("storage.forgetRun");
    return disk.remove(await disk.folder(), FOLDER);
  }
}
