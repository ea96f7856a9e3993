// Talks to the Worker: one Promise for each request, events on the side.

export class EngineClient {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #open = new Map();
  #count = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, event, result, error } }) => {
      const request = this.#open.get(id);
      if (event) return request.onEvent?.(event);
      this.#open.delete(id);
      if (error) request.reject(new Error(error));
      else request.resolve(result);
    };
    this.#worker.onerror = ({ message }) => {
      for (const { reject } of this.#open.values()) reject(new Error(message ?? "the worker could not be started"));
      this.#open.clear();
    };
  }

  /** Sends a request; resolves with its result. */
  ask(type, request = {}, onEvent) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, onEvent });
      this.#worker.postMessage({ id, type, ...request });
    });
  }

  /** The events of a job, as they happen. Leaving the loop pauses it. */
  async *events(job) {
    for (let event; (event = await this.ask("next", { job })); ) yield event;
  }
}
