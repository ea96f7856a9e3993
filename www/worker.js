// The dedicated Worker that owns the engine, the GPU and the storage. It never touches the page; it answers
// {id, event | result | error, broken?}, or {fault} when everything is lost.

import init, { Engine, Library, Storage, readState } from "./pkg/pseudoword.js";

let engine, library, storage, memory, started;
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
  }));
}

/** What each kind of message asks for. `tell` sends an event of the request under way, and says whether to go on. */
const requests = {
  /** Starts what needs no model: `{mini, hub}` are addresses. */
  async start({ mini, hub }) {
    await ready();
    library = await Library.open(mini, hub);
    storage = await Storage.open();
  },
  /** Finds a model; gives `{plan, ...about}`. */
  async plan({ typed, half }, tell) {
    const plan = await library.plan(typed, half ?? false, tell);
    return { plan: keep(plans, plan), ...plan.about() };
  },
  /** Brings a model that was found into the storage; gives its name. */
  async bring({ plan }, tell) {
    const found = plans.get(plan);
    plans.delete(plan);
    return library.bring(found, tell);
  },
  stored: () => library.stored(),
  removeModel: ({ name }) => library.remove(name),
  fetchWord: ({ typed }, tell) => library.word(typed, tell),
  /** Bytes of the engine's own memory. It never shrinks, so this is also its peak. */
  memory: () => memory.buffer.byteLength,
  /** Asks a request that is under way to end. */
  cancel: ({ request }) => void ended.add(request),

  get: ({ path }) => storage.get(path),
  put: ({ path, bytes }) => storage.put(path, new Uint8Array(bytes)),
  remove: ({ path }) => storage.remove(path),
  list: ({ path }) => storage.list(path),

  /** Loads a model: one that is stored by its name, or `files`, an object of `path: Blob`. */
  async open({ name, files }, tell) {
    await ready();
    engine?.free();
    engine = undefined;
    engine = await Engine.open(name, files ?? (await library.files(name)), tell);
  },
  /** Throws why a word cannot be called so. */
  checkToken: ({ token }) => engine.checkToken(token),
  countTokens: ({ phrase }) => engine.countTokens(phrase),
  addWord: ({ bytes, name, token }) => engine.addWord(new Uint8Array(bytes), name, token),
  removeWord: ({ token }) => engine.removeWord(token),
  export: ({ token, format }) => engine.export(token, format),
  /** Prepares a training job; nothing runs until `next`. With `state` it goes on where that was taken. */
  train({ config, pictures, replay, state }) {
    const given = (pictures ?? []).map(({ name, bytes, caption }) => ({ name, bytes: new Uint8Array(bytes), caption }));
    return keep(jobs, engine.train(config, given, replay && new Uint8Array(replay), state && new Uint8Array(state)));
  },
  /** Prepares a generation; nothing runs until `next`. */
  generate: ({ prompt, config }) => keep(jobs, engine.generate(prompt, config)),
  /** Works until a job's next event. Not asking is pausing. */
  next: ({ job }) => jobs.get(job).next(),
  /** The preview that an event told of, a PNG. */
  preview: ({ job }) => jobs.get(job).preview(),
  /** The pictures that are ready, PNGs. */
  pictures: ({ job }) => jobs.get(job).pictures(),
  /** The vectors of a job as they are now. */
  rows: ({ job }) => jobs.get(job).rows(),
  /** The word of a job as it is now, as a file. */
  word: ({ job, format }) => jobs.get(job).word(format),
  /** All that moves in a training job, as a file. */
  state: ({ job }) => jobs.get(job).state(),
  /** Of a state: `{step, steps}`; throws if it is damaged. */
  async readState({ state }) {
    await ready();
    return readState(new Uint8Array(state));
  },
  /** Ends a job and frees what it holds. */
  end({ job }) {
    jobs.get(job).free();
    jobs.delete(job);
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
  const tell = (event) => {
    self.postMessage({ id, event });
    return !ended.has(id);
  };
  try {
    self.postMessage({ id, result: await requests[type](request, tell) });
  } catch (error) {
    // A trap inside of the engine, or a lost device: nothing there can be trusted any more.
    const broken = error instanceof WebAssembly.RuntimeError || error?.name === "GpuError";
    self.postMessage({ id, error: broken ? words(error) : String(error?.message ?? error), broken });
  }
  ended.delete(id);
};
