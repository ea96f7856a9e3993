// A Worker that plays the engine: it answers as the real one does, at once and without a GPU, so that every state of the page can be
// looked at in seconds. What it says is checked against the real engine by the tests that learn (page.test.mjs, faults.test.mjs).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./browser.mjs";

const picture = (name) => readFileSync(join(root, "examples/peach", `${name}.png`)).toString("base64");

/** What the Worker does; it is a function so that editors and linters see code, but runs only there. `given` is what `played` takes. */
function worker(given) {
  const PICTURES = given.pictures.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const choices = {
    settings: {
      learn: { steps: 600, "batch-size": null, vectors: 4, seed: 0, "preview-every": 100, "eval-size": 16, resolution: null, kind: "object", init: null, token: "", "prompt-syntax": "a1111" },
      make: { steps: 25, guidance: 4, seed: 0, sampler: "ddim", width: null, height: null, "negative-prompt": "", "prompt-syntax": "a1111", "clip-skip": 1 },
      computing: { precision: "auto", weights: "auto" },
    },
    usualFor: "pseudoword's mini model",
    steps: { mini: 600, "SD 1.x": 500, "SD 2.x": 500, SDXL: 400 },
    kind: [{ value: "object", label: "a thing" }, { value: "style", label: "a style" }],
    sampler: [{ value: "ddim", label: "DDIM" }], "prompt-syntax": [{ value: "a1111", label: "A1111" }, { value: "comfyui", label: "ComfyUI" }, { value: "plain", label: "plain text" }], precision: [{ value: "auto", label: "as suits" }, { value: "f16", label: "f16" }], weights: [{ value: "auto", label: "auto" }], parts: [], hub: "https://huggingface.co",
    formats: [{ value: "diffusers", label: "diffusers", ending: "safetensors" }, { value: "a1111", label: "A1111", ending: "pt" }],
  };
  /** The kind of the model that was opened last. */
  let family = "pseudoword's mini model";
  const about = (token) => ({ token, vectors: 2, width: 64, family, norm: 0.4 * given.verdict.length, typical: 0.4, nearest: [], notes: [] });
  /** The storage, in the browser's file system, where the page looks for it. */
  const folder = async (path) => {
    let here = await navigator.storage.getDirectory();
    for (const part of ["kept", ...path.split("/").filter(Boolean)]) here = await here.getDirectoryHandle(part, { create: true });
    return here;
  };
  const split = (path) => [path.slice(0, path.lastIndexOf("/") + 1), path.slice(path.lastIndexOf("/") + 1)];
  const full = () => Object.assign(new Error("the browser's storage: it is full"), { code: "storage-full", parts: { reason: "it is full: delete a stored model" } });
  const storage = {
    async get(path) {
      const [place, name] = split(path);
      const handle = await (await folder(place)).getFileHandle(name).catch(() => undefined);
      return handle && new Uint8Array(await (await handle.getFile()).arrayBuffer());
    },
    async put(path, bytes) {
      if (given.full) throw full();
      const [place, name] = split(path);
      const file = await (await (await folder(place)).getFileHandle(name, { create: true })).createWritable();
      await file.write(bytes);
      await file.close();
    },
    async list(path) {
      const names = [];
      for await (const [name, handle] of (await folder(path)).entries()) if (handle.kind === "file") names.push(name);
      return names.sort();
    },
    remove: async (path) => (await folder(split(path)[0])).removeEntry(split(path)[1], { recursive: true }).catch(() => {}),
    saveState: (state) => storage.put("run/state-0", state),
    async savedState() {
      const state = await storage.get("run/state-0");
      if (!state) return undefined;
      const text = new TextDecoder().decode(state);
      return text.startsWith("{") ? { ...JSON.parse(text), state } : { unusable: "state-0: it is cut short" };
    },
    forgetRun: () => storage.remove("run"),
  };
  /** What a run tells, from the step after `from`. */
  function* run(config, pictures, from) {
    const [every, loss] = [config["preview-every"], (step) => 0.2 + 0.34 * Math.exp(-step / 3)];
    const preview = function* (step) {
      for (let i = 1; i <= 3; i++) yield { event: "denoise", step: i, of: 3, secs: 0.01 };
      yield { event: "preview", step };
    };
    if (from === 0 && every) yield* preview(0);
    for (const [i, { name }] of pictures.entries()) yield { event: "encode", done: i + 1, total: pictures.length, name, prepared: "256x256 scaled to 64" };
    if (from > 0) yield { event: "resumed", step: from, of: config.steps };
    else yield { event: "evaluation", on: "training", step: 0, loss: loss(0), initial: loss(0) };
    for (const [code, text] of given.warnings) yield { event: "warning", code, text };
    for (let step = from + 1; step <= config.steps; step++) {
      yield { event: "step", step, of: config.steps, loss: loss(step), lr: 0.01, grad_norm: 1, row_norm: 1, secs: 0.02 };
      yield { event: "evaluation", on: "training", step, loss: loss(step), initial: loss(0) };
      if (every && step % every === 0) yield* preview(step);
    }
    if (!given.quality) return;
    for (let done = 1; done <= 8; done++) yield { event: "trying", done, total: 8 };
    const last = config.steps;
    yield { event: "quality", scenes: 8, advice: null, "advice-code": null, overfitted: false, last, best: last, kept: last, states: [{ step: last, score: 0.5, error: 0.05, shows: 0.6, moved: 0.5, keeps: 8, copies: 0 }], ...given.quality };
  }
  const jobs = new Map();
  let count = 0;
  let lost = false;
  new BroadcastChannel("lose").onmessage = () => (lost = true);
  const job = {
    async next(one) {
      await wait(given.pause);
      if (lost) throw Object.assign(new Error("the graphics device was lost (played)"), { name: "GpuError", code: "gpu-lost" });
      const { value } = one.events.next();
      if (value?.event === "step") one.step = value.step;
      return value;
    },
    preview: (one) => PICTURES[one.shown++ % PICTURES.length],
    state: (one) => new TextEncoder().encode(JSON.stringify({ step: one.step, steps: one.config.steps })),
    embedding: () => new TextEncoder().encode("an embedding"),
    pictures: () => [PICTURES[0]],
    sketch: () => PICTURES[1],
    verdict: (one) => (one.step ? given.verdict : undefined),
  };
  const engine = {
    checkToken(token) {
      if (token === "cat") throw new Error('"cat" is taken: the model knows it already');
    },
    countTokens: (text) => text.split(" ").length,
    facts: () => ({ name: "mini", family, side: 64, sides: [64, 64], width: 64, room: 75, clipLayers: /^pseudo|1\.x$/.test(family) ? 2 : undefined, weights: 12e6, parts: [], usualFor: family, settings: /1\.x$/.test(family) ? { learn: { steps: 500, vectors: 4 }, make: { steps: 30, guidance: 7.5 } } : { learn: { steps: 600, vectors: 4 }, make: { steps: 25, guidance: 4 } } }),
    need: () => ({ bytes: 210e6, weights: 12e6, phases: [] }),
    hasHalves: () => false,
    promptInfo(text, syntax = "a1111") {
      const names = text.match(/<[^<>:\s]+>|embedding:\w+/g) ?? [];
      const weights = /\((\w+):[\d.]+\)/g;
      const known = [[/<lora:[^>]*>/g, "lora", "a LoRA"], [/\[[^\]]*\|[^\]]*\]/g, "turns", "taking turns"], ...(syntax === "plain" ? [[weights, "weight", "a weight"]] : [])];
      const notes = known.flatMap(([pattern, code, means]) => (text.match(pattern) ?? []).map((quoted) => ({ quoted, means, code })));
      const tokens = (syntax === "plain" ? text.replaceAll(weights, "( $1 : 1.2 )") : text.replaceAll(weights, "$1")).trim().split(/\s+/).length;
      const stretches = Math.ceil(tokens / 75);
      const words = names.filter((token) => token === "<peach>").map((token) => ({ token, vectors: 2 }));
      const unknown = names.filter((token) => token !== "<peach>").map((text) => ({ text, suggestion: "<peach>" }));
      return { tokens, room: 75 * stretches, stretches, words, unknown, notes };
    },
    without: (prompt) => (prompt.includes("<peach>") ? prompt.replace("<peach>", "apple") : undefined),
    addEmbedding: (bytes, name, token) => about(token ?? "<peach>"),
    removeEmbedding: () => true,
    differencesTo: () => [{ code: "model", parts: { model: given.like.model, used: "mini" }, text: "it was made with another model" }],
    renameEmbedding: (_, other) => about(other),
    about,
  };
  /** How much of each large model is here, by name; and the name that was asked for last. */
  const brought = {};
  let asked;
  let cancelled = false;
  const LARGE = { bytes: 2.13e9, files: Array(11).fill({}) };
  const XL = { bytes: 6.94e9, files: Array(17).fill({ path: "text_encoder_2/model.safetensors" }) };
  const requests = {
    start: () => choices,
    hub() {},
    plan: async ({ typed, eight }) => {
      await wait(given.load);
      // Whatever is not the mini model is from the Hub, and large.
      const all = typed === "mini" ? { bytes: 8.4e6, files: [] } : /xl/.test(typed) ? XL : LARGE;
      asked = typed;
      const at = (brought[typed] ??= { bytes: 0, whole: typed === "mini" || given.stored.includes(typed), stopped: false, of: all.bytes });
      return { plan: 1, name: typed, stored: at.whole, bytes: all.bytes, here: at.whole ? 0 : at.bytes, room: at.whole ? 0 : all.bytes - at.bytes, free: 60e9, eight: all.bytes > 3e8 && (eight ?? true), packed: false, files: all.files };
    },
    async bring(_, report) {
      const at = brought[asked];
      for (; at.bytes < at.of; at.bytes += at.of / 100) {
        // Until it is stopped for the first time there is time to look at it.
        await wait(at.stopped ? given.pause : 50 * given.pause);
        report({ event: "fetch", number: 3, files: 11, done: at.bytes, total: at.of, rate: 20e6, left: 100 });
        if (given.cut && !at.stopped && at.bytes > given.cut * at.of) {
          at.stopped = true;
          report({ event: "warning", code: "retry", text: "the Hub: nothing arrived; tried again" });
          throw Object.assign(new Error("the Hub cannot be reached"), { code: "unreachable", parts: { host: "huggingface.co" } });
        }
        if (!cancelled) continue;
        [cancelled, at.stopped] = [false, true];
        throw new Error("stopped");
      }
      at.whole = true;
      return asked;
    },
    async open({ name }, report) {
      family = name === "mini" ? "pseudoword's mini model" : "Stable Diffusion 1.x";
      report({ event: "device", name: "a played GPU" });
      report({ event: "load", part: "unet", done: 1, total: 2 });
      await wait(given.load);
      if (given.unopened) throw Object.assign(new Error(given.unopened), given.unopenedBy);
    },
    train({ config, pictures, state }) {
      new BroadcastChannel("train").postMessage({ config, pictures: pictures.map(({ name, caption, crop, mask }) => ({ name, caption, crop, mask })) });
      const from = state ? JSON.parse(new TextDecoder().decode(state)).step : 0;
      const whole = { ...choices.settings.learn, ...config };
      jobs.set(++count, { config: whole, step: from, shown: from, events: run(whole, pictures, from) });
      return count;
    },
    /** Of every second picture nothing is clear. */
    describe({ config, pictures }) {
      const looks = pictures.map(({ name }, i) => ({ event: "describe", done: i + 1, total: pictures.length, name }));
      const made = pictures.map(({ name }, i) => ({ event: "caption", name, parts: [], ...(i % 2 === 0 && { caption: `a drawing of {} ${i}` }) }));
      jobs.set(++count, { config, events: [...looks, ...made].values() });
      return count;
    },
    generate({ config }) {
      if (config.width > 4096) throw new Error(`\u201cSize in pixels\u201d ${config.width}: it must be at least 1, and at most 4096`);
      const steps = Array.from({ length: config.steps }, (_, i) => ({ event: "denoise", step: i + 1, of: config.steps, secs: 0.01 }));
      jobs.set(++count, { events: steps.values() });
      return count;
    },
    end: ({ job }) => void jobs.delete(job),
    memory: () => 11e6,
    cancel: () => void (cancelled = true),
    "library.stored": () => [],
    // What it does not say has its default.
    "tools.settingsOf": () => ({ ...given.like, settings: { ...choices.settings.make, ...given.like.settings } }),
    "tools.saysHow": ({ args: [bytes] }) => (new TextDecoder().decode(bytes).includes("Steps:") ? "read" : undefined),
    "tools.promptInfo"({ args: [text, syntax, words] }) {
      const { unknown, notes } = engine.promptInfo(text, syntax);
      return { unknown: unknown.filter(({ text }) => !words.includes(text)).map(({ text }) => ({ text })), notes };
    },
    "tools.describe": () => [about("<peach>")],
    "tools.convert": () => new TextEncoder().encode("an embedding"),
    "tools.examine": ({ args: [bytes] }) => ({ warnings: [], fingerprint: [bytes.byteLength] }),
    /** Where it is looked for, it is the left half of all pictures, and of the first that is not sure. */
    async "tools.masks"({ args: [config, pictures] }) {
      if (config.masks !== "auto") return [];
      const canvas = new OffscreenCanvas(64, 64);
      canvas.getContext("2d").fillRect(0, 0, 32, 64);
      const mask = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
      return pictures.map(({ name }, i) => ({ name, origin: i === 0 ? "unsure" : "found", mask }));
    },
    "tools.alike": ({ args: [one, other] }) => one[0] === other[0],
  };
  self.onmessage = async ({ data: { id, type, ...request } }) => {
    const [owner, method] = type.split(".");
    try {
      const result = requests[type] ? await requests[type](request, (event) => self.postMessage({ id, event }))
        : owner === "job" ? await job[method](jobs.get(request.job), ...(request.args ?? []))
          : await { storage, engine }[owner][method](...(request.args ?? []));
      self.postMessage({ id, result });
    } catch (error) {
      self.postMessage({ id, error: error.message, broken: error.name === "GpuError", code: error.code, parts: error.parts });
    }
  };
}

/** Lets the engine be played in a context: `pause` is how many milliseconds pass between two events, `load` how many loading takes;
 * the large models that are `stored` are here; the download of another breaks off once where `cut` of it is here; `full` storages keep nothing, `warnings` (codes and sentences) are told while learning, `unopened` is why no model can be opened, and `unopenedBy` its code and parts, `verdict` what comes of it, `quality` what the engine finds in a trial of it (none is made otherwise), and `like` what every picture says of how it was made. */
export async function played(context, given = {}) {
  const whole = { pause: 5, load: 20, stored: [], full: false, warnings: [], unopened: undefined, verdict: { level: "good", gain: 0.6, length: 1.5 }, ...given, pictures: ["noto", "flat", "3d"].map(picture) };
  await context.route("**/www/worker.js", (route) => route.fulfill({ contentType: "text/javascript", body: `(${worker})(${JSON.stringify(whole)});` }));
}
