// From opening the page to the first preview of the example, in a browser tab on SwiftShader (Chromium's own Vulkan on the processor):
//
//     node benches/browser/first-preview.mjs [TIMES]
//
// opens the page as a new visitor, presses the button that learns the example as soon as it is there, and prints when which part of the
// way was over and what it was made of: seconds on the clock, processor time (on Linux: of the GPU's process, and of the browser's
// others), launches, and pipelines that were made, with the time until their compiler was done with them at most. Then what comes
// until the first step, which nobody waits for, and the tasks of the page that took longer than 50 ms. With TIMES, so many visitors,
// and the median. Processor time is what to compare where other programs run.

import { setTimeout as passed } from "node:timers/promises";
import { hooked, start } from "../../tests/page/browser.mjs";
import { browserTime } from "./processor.mjs";

/** Longest that anybody waits, in milliseconds, and how long what a visitor left has to end before the next one comes. */
const LONGEST = 1_800_000;
const BETWEEN = 10_000;

/** Notes in the Worker when it was asked what and when it answered or told, with what was asked of the GPU by then. */
const NOTING = `const noted = [];
  const asked = { launches: 0, pipelines: 0, compiling: 0 };
  let compiled = 0;
  const now = () => performance.timeOrigin + performance.now();
  const note = (name) => noted.push({ name, at: now(), ...asked });
  for (const method of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
    const ask = GPUComputePassEncoder.prototype[method];
    GPUComputePassEncoder.prototype[method] = function (...how) {
      asked.launches++;
      return ask.apply(this, how);
    };
  }
  const make = GPUDevice.prototype.createComputePipeline;
  GPUDevice.prototype.createComputePipeline = function (how) {
    const from = now();
    this.pushErrorScope("internal");
    const pipeline = make.call(this, how);
    asked.pipelines++;
    // Known once the GPU's process has come so far: one pipeline is made after the other.
    this.popErrorScope().then(() => {
      asked.compiling += now() - Math.max(from, compiled);
      compiled = now();
    });
    return pipeline;
  };
  const post = self.postMessage.bind(self);
  const names = new Map();
  self.postMessage = (message) => {
    const event = (message.event ?? message.result)?.event;
    note(event ?? "answered " + names.get(message.id));
    post(message);
  };
  self.addEventListener("message", ({ data }) => {
    names.set(data.id, data.type);
    if (data.type === "noted") {
      post({ id: data.id, result: noted });
      // Nobody else knows this request.
      data.type = "memory";
    }
  });`;

/** The parts of the way: what ends each, by the name of the last note (or of the first, with "first ") that it has. */
const PARTS = [
  ["the page is there, the button is pressed", "pressed"],
  ["the engine is fetched and compiled", "answered start"],
  ["the model is fetched", "answered bring"],
  ["the GPU is tested", "precision"],
  ["weights are loaded", "answered open"],
  ["the prompt, the first denoising step", "first denoise"],
  ["the other denoising steps", "last denoise"],
  ["the picture is decoded and shown", "shown"],
];
const AFTERWARDS = [["pictures are encoded", "last encode"], ["the first evaluation", "first evaluation"], ["the first step", "first step"]];

/** When something ended; nothing if it did not. The denoising that is looked at is that of the first preview. */
function end(name, noted) {
  const [which, kind] = name.includes(" ") ? name.split(/ (.*)/) : ["first", name];
  if (which === "answered") return noted.find((note) => note.name === name);
  const until = kind === "denoise" ? noted.find((note) => note.name === "preview")?.at ?? Infinity : Infinity;
  const those = noted.filter((note) => note.name === kind && note.at <= until);
  return which === "last" ? those.at(-1) : those[0];
}

async function visit(place) {
  const samples = [];
  const timer = setInterval(() => samples.push({ at: Date.now(), ...browserTime() }), 50);
  const { context, open } = await place.visitor();
  await hooked(context, NOTING);
  await context.addInitScript(() => {
    globalThis.longTasks = [];
    const seen = (list) => globalThis.longTasks.push(...list.getEntries().map(({ startTime, duration }) => [startTime, duration]));
    new PerformanceObserver(seen).observe({ type: "longtask", buffered: true });
  });
  const opened = Date.now();
  const page = await open();
  await page.locator("#learn-example").click();
  const pressed = Date.now();
  const marked = (name) => page.waitForFunction((name) => performance.getEntriesByName(name)[0], `pseudoword:${name}`, { timeout: LONGEST });
  await marked("preview");
  const shown = await page.evaluate(() => performance.timeOrigin + performance.getEntriesByName("pseudoword:preview")[0].startTime);
  await page.locator("#train-status").getByText(/^Step 1 /).waitFor({ timeout: LONGEST });
  clearInterval(timer);
  const tasks = await page.evaluate(() => globalThis.longTasks);
  const noted = await page.evaluate(async () => {
    const { studio } = await import("./www/base/studio.js");
    return studio.client.ask("noted");
  });
  await context.close();
  return { opened, samples, tasks, noted: [{ name: "pressed", at: pressed }, { name: "shown", at: shown }, ...noted] };
}

/** Prints parts of the way; gives the time at which the last of them ended. */
function told(parts, { samples, noted }, from) {
  const spent = (at) => samples.findLast((sample) => sample.at <= at) ?? samples[0];
  const seconds = (ms) => (ms / 1000).toFixed(1).padStart(5);
  let last = from;
  for (const [what, name] of parts) {
    const ended = end(name, noted);
    if (!ended) continue;
    const [before, after] = [spent(last.at), spent(ended.at)];
    const processor = after.gpu === undefined ? "" : `${seconds(after.gpu - before.gpu)} ${seconds(after.rest - before.rest)}`;
    const asked = ended.launches === undefined ? {} : ended;
    const more = (key) => (asked[key] ?? 0) - (last[key] ?? 0);
    const gpu = asked.launches === undefined ? "" : `  ${more("launches")} launches, ${more("pipelines")} pipelines (${seconds(more("compiling")).trim()} s)`;
    console.log(`${seconds(ended.at - from.at)} +${seconds(ended.at - last.at)}  ${processor}  ${what}${gpu}`);
    last = { ...last, ...asked, at: ended.at };
  }
  return last;
}

const times = Number(process.argv[2] ?? 1);
if (!Number.isInteger(times) || times < 1) {
  console.error(`TIMES is ${process.argv[2]}: it must be a whole number of visitors`);
  process.exit(2);
}
const place = await start();
const all = [];
try {
  for (let i = 0; i < times; i++) {
    if (i > 0) await passed(BETWEEN);
    const seen = await visit(place);
    const from = { at: seen.opened };
    console.log("at, and seconds it took; processor time of the GPU's process, of others");
    const last = told(PARTS, seen, from);
    all.push(last.at - seen.opened);
    console.log("afterwards:");
    told(AFTERWARDS, seen, last);
    const tasks = seen.tasks.map(([at, ms]) => `${Math.round(ms)} ms at ${(at / 1000).toFixed(1)} s`);
    console.log(`tasks of the page over 50 ms: ${tasks.join(", ") || "none"}`);
  }
} finally {
  await place.close();
}
console.log(`from opening to the first preview: ${(all.sort((a, b) => a - b)[all.length >> 1] / 1000).toFixed(1)} s`);
