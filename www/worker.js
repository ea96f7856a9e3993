// The dedicated Worker that owns the engine and the GPU. It never touches the page; it answers {id, event | result | error}.

import init, { Engine } from "./pkg/pseudoword.js";

let engine;
const jobs = new Map();
let jobCount = 0;

function keep(job) {
  jobs.set(++jobCount, job);
  return jobCount;
}

/** What each kind of message asks for. `tell` sends an event of the request under way. */
const requests = {
  /** Loads the engine and a model; `files` is {path: ArrayBuffer}. */
  async open({ files }, tell) {
    await init();
    const bytes = Object.fromEntries(Object.entries(files).map(([path, buffer]) => [path, new Uint8Array(buffer)]));
    engine = await Engine.open(bytes, tell);
  },
  /** Throws why a word cannot be called so. */
  checkToken: ({ token }) => engine.checkToken(token),
  countTokens: ({ phrase }) => engine.countTokens(phrase),
  addWord: ({ bytes, name, token }) => engine.addWord(new Uint8Array(bytes), name, token),
  removeWord: ({ token }) => engine.removeWord(token),
  export: ({ token, format }) => engine.export(token, format),
  /** Prepares a training job; nothing runs until `next`. */
  train({ config, pictures, replay }) {
    const given = (pictures ?? []).map(({ name, bytes, caption }) => ({ name, bytes: new Uint8Array(bytes), caption }));
    return keep(engine.train(config, given, replay && new Uint8Array(replay)));
  },
  /** Prepares a generation; nothing runs until `next`. */
  generate: ({ prompt, config }) => keep(engine.generate(prompt, config)),
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
  /** Ends a job and frees what it holds. */
  end({ job }) {
    jobs.get(job).free();
    jobs.delete(job);
  },
};

self.onmessage = async ({ data: { id, type, ...request } }) => {
  try {
    const result = await requests[type](request, (event) => self.postMessage({ id, event }));
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};
