// The dedicated Worker that owns the engine and the GPU. It never touches the page; it answers {id, event | result | error}.

import init, { Engine } from "./pkg/pseudoword.js";

let engine;
const jobs = new Map();
let jobCount = 0;

/** What each kind of message asks for. `tell` sends an event of the request under way. */
const requests = {
  /** Loads the engine and a model; `files` is {path: ArrayBuffer}. */
  async open({ files }, tell) {
    await init();
    const bytes = Object.fromEntries(Object.entries(files).map(([path, buffer]) => [path, new Uint8Array(buffer)]));
    engine = await Engine.open(bytes, tell);
  },
  /** Prepares a training job; nothing runs until `next`. */
  train({ config, pictures, replay }) {
    const job = ++jobCount;
    jobs.set(job, engine.train(config, pictures ?? [], replay && new Uint8Array(replay)));
    return job;
  },
  /** Works until a job's next event. Not asking is pausing. */
  next: ({ job }) => jobs.get(job).next(),
  /** The vectors of a job as they are now. */
  rows: ({ job }) => jobs.get(job).rows(),
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
