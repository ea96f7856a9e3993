// The dedicated Worker that owns the engine, the GPU and the storage. It never touches the page; it answers
// {id, event | result | error, broken?, code?, parts?}, or {fault} when everything is lost.
//
// A request is named after what it calls: "engine.without" is a method of `Engine`, "storage.put" of `Storage`,
// "library.stored" of `Library`, "tools.describe" of `Tools`, "job.state" of the training or generation with the number `job`,
// each with the arguments in `args`. A new method of theirs (src/web) needs nothing here; what is not a plain call is in `requests`.

import init, { Engine, Library, Storage, Tools, choices, nameSettings } from "./pkg/pseudoword.js";
import { giveBuffersBack } from "./buffers.js";
import { doWithoutTimestamps } from "./timestamps.js";

doWithoutTimestamps();
const giveBack = giveBuffersBack(() => table);

/** What methods are called on. */
const owners = {};
let memory, table, started, prepared;
const jobs = new Map();
const plans = new Map();
/** Requests that were asked to end. */
const ended = new Set();
let count = 0;

function keep(things, thing) {
  things.set(++count, thing);
  return count;
}

/** Starts the code of the engine, once. */
function ready() {
  return (started ??= init().then((code) => {
    // The linker leaves this to whoever loads the module: see tools/web/build.
    code.__wasm_call_ctors();
    memory = code.memory;
    table = code.__wbindgen_externrefs;
    owners.tools = new Tools();
  }));
}

/** Makes the GPU ready, once: tests it, which takes seconds on some. Whoever needs it hears of a failure, and may try again. */
function gpu() {
  return (prepared ??= ready().then(() => Engine.prepare()).catch((error) => {
    prepared = undefined;
    throw error;
  }));
}

/** Calls a method; buffers are given as the arrays that the engine takes. */
async function call(name, { job, args = [] }) {
  const [owner, method] = name.split(".");
  if (owner === "tools") await ready();
  const on = owner === "job" ? jobs.get(job) : owners[owner];
  return on[method](...args.map((arg) => (arg instanceof ArrayBuffer ? new Uint8Array(arg) : arg)));
}

/** What is more than a call. `report` sends an event of the request under way, and gives whether to continue. */
const requests = {
  /** Starts what needs no model: `{mini, hub}` are addresses, `labels` what the page calls its settings. Gives what its forms are
   * filled with. */
  async start({ mini, hub, labels }) {
    await ready();
    nameSettings(labels);
    owners.library = await Library.open(mini, hub);
    owners.storage = await Storage.open();
    return choices();
  },
  /** Takes another Hub from now on. */
  async hub({ mini, hub }) {
    owners.library = await Library.open(mini, hub);
  },
  /** Finds a model; gives `{plan, ...about}`. */
  async plan({ typed, precision, eight }, report) {
    // While files are fetched it has nothing else to do; "open" reports what is wrong with it.
    gpu().catch(() => {});
    const plan = await owners.library.plan(typed, precision, eight, report);
    return { plan: keep(plans, plan), ...plan.about() };
  },
  /** Brings a model that was found into the storage; gives its name. */
  async bring({ plan }, report) {
    const found = plans.get(plan);
    plans.delete(plan);
    return owners.library.bring(found, report);
  },
  /** Looks at a concept without taking it. */
  look: ({ typed }, report) => owners.library.concept(typed, report),
  /** One of the pictures that a concept shows; gives `{name, bytes}`. */
  lookAtPicture: ({ typed, path }, report) => owners.library.conceptPicture(typed, path, report),
  fetchEmbedding: ({ typed }, report) => owners.library.embedding(typed, report),
  /** Bytes of the engine's own memory. It never shrinks, so this is also its peak. */
  memory: () => memory.buffer.byteLength,
  /** Asks a request that is under way to end. */
  cancel: ({ request }) => void ended.add(request),

  /** Loads a model: one that is stored by its name, or `files`, an object of `path: Blob`. `precision` is that of products, and
   * `weights` how they are kept. */
  async open({ name, files, precision, weights }, report) {
    await gpu();
    owners.engine?.free();
    owners.engine = undefined;
    const hash = files ? undefined : await owners.library.unetHash(name);
    owners.engine = await Engine.open(name, files ?? (await owners.library.files(name)), hash, precision, weights, report);
  },
  /** Prepares a training job; nothing runs until "job.next". With `state` it resumes where that was taken. Masks of pictures are addresses
   * (`data:`). */
  train({ config, pictures, replay, state }) {
    const given = (pictures ?? []).map(({ mask, ...picture }) => ({ ...picture, mask: mask && Uint8Array.from(atob(mask.split(",")[1]), (c) => c.charCodeAt(0)) }));
    return keep(jobs, owners.engine.train(config, given, replay && new Uint8Array(replay), state && new Uint8Array(state)));
  },
  /** Prepares the making of captions; nothing runs until "job.next". */
  describe: ({ config, pictures }) => keep(jobs, owners.engine.describe(config, pictures)),
  /** Prepares a generation; nothing runs until "job.next". */
  generate: ({ prompt, config }) => keep(jobs, owners.engine.generate(prompt, config)),
  /** Ends a job and frees what it holds. */
  end({ job }) {
    jobs.get(job).free();
    jobs.delete(job);
    giveBack();
  },
};

/** What the engine said when it trapped, or else what the browser says. */
const words = (error) => String(self.enginePanic ?? error?.message ?? error);

// A trap in something that the engine does on the side, such as hearing of an error of the GPU.
self.addEventListener("error", (event) => {
  event.preventDefault();
  self.postMessage({ fault: words(event) });
});
self.addEventListener("unhandledrejection", (event) => self.postMessage({ fault: words(event.reason) }));

self.onmessage = async ({ data: { id, type, ...request } }) => {
  const report = (event) => {
    self.postMessage({ id, event });
    return !ended.has(id);
  };
  try {
    self.postMessage({ id, result: await (requests[type] ? requests[type](request, report) : call(type, request)) });
  } catch (error) {
    // A trap inside of the engine, or a lost device: nothing there can be trusted any more.
    const broken = error instanceof WebAssembly.RuntimeError || error?.name === "GpuError";
    self.postMessage({ id, error: broken ? words(error) : String(error?.message ?? error), broken, code: error?.code, parts: error?.parts });
  }
  ended.delete(id);
};
