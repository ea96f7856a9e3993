// Talks to the Worker: one Promise for each request, events on the side.

import { notHere } from "./text.js";
import { script } from "./trusted.js";

/** What the engine refused, in its words; where it has them, with the `code` of what that is, and the `parts` that it is about. */
export class EngineError extends Error {
  constructor(message, { code, parts } = {}) {
    super(message);
    Object.assign(this, { code, parts });
  }
}

/** An error after which the engine cannot be used any more. */
export class BrokenEngine extends EngineError {}

export class EngineClient {
  #worker = new Worker(script(new URL("../worker.js", import.meta.url)), { type: "module" });
  #open = new Map();
  #count = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, event, result, error, broken, fault, ...what } }) => {
      if (fault !== undefined) return this.#fail(new BrokenEngine(fault));
      const request = this.#open.get(id);
      if (event) return request?.onEvent?.(event);
      this.#open.delete(id);
      if (error !== undefined) request?.reject(broken ? new BrokenEngine(error, what) : new EngineError(error, what));
      else request?.resolve(result);
    };
    // It was asked for, and is there: from now on it is kept for visits without a network, where there is a service worker.
    const keep = () => navigator.serviceWorker?.ready.then(({ active }) => active.postMessage("engine"));
    this.#worker.addEventListener("message", keep, { once: true });
    // Without a message it is that its code did not come.
    this.#worker.onerror = ({ message }) => this.#fail(message ? new BrokenEngine(message) : new Error(notHere()));
  }

  #fail(error) {
    for (const { reject } of this.#open.values()) reject(error);
    this.#open.clear();
  }

  /** Sends a request; resolves with its result. `signal` asks it to end where it can. */
  ask(type, request = {}, onEvent, signal) {
    const id = ++this.#count;
    signal?.addEventListener("abort", () => this.#worker.postMessage({ id: ++this.#count, type: "cancel", request: id }));
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, onEvent });
      this.#worker.postMessage({ id, type, ...request });
    });
  }

  /** The events of a job, as they happen. Leaving the loop pauses it. */
  async *events(job) {
    for (let event; (event = await this.ask("job.next", { job })); ) yield event;
  }

  /** Ends the Worker and all that it holds. */
  close() {
    this.#worker.terminate();
    this.#fail(new BrokenEngine("the engine was closed"));
  }
}
