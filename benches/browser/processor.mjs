// Processor time of a browser's processes, which the load of a machine changes less than times on a clock. Linux only.

import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Whether the system says it at all. */
export const isKnown = existsSync("/proc/self/schedstat");

/** What `look` finds, or nothing if the process or thread that it looks at has ended. */
function unlessEnded(look) {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** The numbers of the processes that this one has started, and that those have: the browser's among them. */
function descendants() {
  const children = new Map();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    // The name before these fields may hold anything, brackets too.
    const parent = unlessEnded(() => Number(readFileSync(`/proc/${id}/stat`, "utf8").split(")").at(-1).trim().split(" ")[1]));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(id)]);
  }
  const found = [...(children.get(process.pid) ?? [])];
  for (const id of found) found.push(...(children.get(id) ?? []));
  return found;
}

/** Milliseconds that a thread has had. */
const had = (thread) => Number(unlessEnded(() => readFileSync(`${thread}/schedstat`, "utf8").split(" ")[0]) || 0) / 1e6;
const threads = (id) => (unlessEnded(() => readdirSync(`/proc/${id}/task`)) ?? []).map((thread) => `/proc/${id}/task/${thread}`);

/** Milliseconds that the browser's Workers have had by now; nothing where the system does not say. */
export function workerTime() {
  if (!isKnown) return undefined;
  const isWorker = (thread) => unlessEnded(() => readFileSync(`${thread}/comm`, "utf8").startsWith("DedicatedWorker"));
  return descendants().flatMap(threads).filter(isWorker).reduce((sum, thread) => sum + had(thread), 0);
}

/** What processes had when they were last looked at, those too that have ended: `{isGpu, ms}`. */
const seen = new Map();

/** Milliseconds that the browser's process for the GPU has had, which a software GPU computes in, and all its others. */
export function browserTime() {
  if (!isKnown) return undefined;
  for (const id of descendants()) {
    const isGpu = seen.get(id)?.isGpu || unlessEnded(() => readFileSync(`/proc/${id}/cmdline`, "utf8").includes("--type=gpu-process"));
    // Of threads that have ended, only the process knows.
    const ticks = unlessEnded(() => readFileSync(`/proc/${id}/stat`, "utf8").split(")").at(-1).trim().split(" "));
    if (ticks) seen.set(id, { isGpu, ms: 10 * (Number(ticks[11]) + Number(ticks[12])) });
  }
  const sums = { gpu: 0, rest: 0 };
  for (const { isGpu, ms } of seen.values()) sums[isGpu ? "gpu" : "rest"] += ms;
  return sums;
}
