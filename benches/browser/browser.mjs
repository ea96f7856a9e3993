// A training step and a denoising step in a browser tab on SwiftShader (Chromium's own Vulkan on the processor):
//
//     [PSEUDOWORD=target/release/pseudoword] node benches/browser/browser.mjs [STEPS] [MODEL]
//
// prints what a step asks of the GPU (launches, submissions) and the processor time of the Worker for it (on Linux); what a visitor
// waits for at first is first-preview.mjs's affair. MODEL is a model's folder, for instance of `random_model.py --narrow`;
// without it the mini model is used, and the time of a step is compared with that of the native program, if one is named, on
// the same software GPU. That runs before and after the browser, because machines that are shared change their speed while
// this lasts: how far its two medians differ tells what a ratio is worth. Nothing else should be running. The first two steps
// compile kernels and are left out.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hooked, load, peach, ready, start } from "../../tests/page/browser.mjs";
import { workerTime } from "./processor.mjs";

const ICD = process.env.SWIFTSHADER ?? "/usr/lib/chromium/vk_swiftshader_icd.json";
const model = process.argv[3];
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
/** The first two steps compile kernels. */
const COMPILING = 2;
const steps = Number(process.argv[2] ?? 8);
if (!Number.isInteger(steps) || steps <= COMPILING) {
  console.error(`STEPS is ${process.argv[2]}: it must be a whole number above ${COMPILING}, because so many steps are left out`);
  process.exit(2);
}
const timed = (seconds) => seconds.slice(COMPILING);

/** Counts in the Worker what is asked of the GPU, and adds the sums so far to each event of a job. */
const COUNTING = `const asked = { launches: 0, submissions: 0 };
  for (const [of, method, name] of [
    [GPUComputePassEncoder, "dispatchWorkgroups", "launches"], [GPUComputePassEncoder, "dispatchWorkgroupsIndirect", "launches"],
    [GPUQueue, "submit", "submissions"],
  ]) {
    const ask = of.prototype[method];
    of.prototype[method] = function (...how) {
      asked[name]++;
      return ask.apply(this, how);
    };
  }
  const post = self.postMessage.bind(self);
  self.postMessage = (message) => {
    if (message.result?.event) Object.assign(message.result, { asked: { ...asked } });
    post(message);
  };`;

/** Does a job in the Worker; gives its events of a kind with the Worker's time at each: it waits there. */
async function events(page, kind, request) {
  const seen = [];
  await page.exposeFunction(`saw_${kind}`, (secs, asked) => void seen.push({ secs, ...asked, worker: workerTime() }));
  await page.evaluate(async ([kind, [type, { pictures, ...about }]]) => {
    const { ask, client } = await import("./www/base/studio.js");
    const given = pictures?.map((bytes, i) => ({ name: `${i}.png`, bytes: new Uint8Array(bytes).buffer }));
    const job = await ask(type, { ...about, pictures: given });
    for await (const event of (await client()).events(job)) {
      if (event.event === kind) await window[`saw_${kind}`](event.secs, event.asked);
    }
    await ask("end", { job });
  }, [kind, request]);
  return seen;
}

/** What one step asked and took, by the differences between events. */
function report(what, events) {
  const [first, last] = [events[COMPILING - 1], events.at(-1)];
  const each = (name) => (last[name] - first[name]) / (events.length - COMPILING);
  let host = "";
  if (first.worker !== undefined) {
    const worker = each("worker");
    host = `, ${worker.toFixed(1)} ms of the Worker (${((1000 * worker) / each("launches")).toFixed(0)} us a launch)`;
  }
  console.log(`${what}: ${each("launches").toFixed(0)} launches, ${each("submissions").toFixed(1)} submissions${host}`);
}

/** Loads the mini model, or the one that was named. */
async function loaded(page) {
  if (!model) return load(page);
  await page.locator("#folder").setInputFiles(model);
  return ready(page, 600_000);
}

async function browser() {
  const place = await start();
  try {
    const { context, open } = await place.visitor();
    await hooked(context, COUNTING);
    const page = await open();
    await loaded(page);
    const pictures = peach.slice(0, 2).map((file) => [...readFileSync(file)]);
    const config = { token: "<my-word>", init: "apple", steps, "batch-size": 1, "eval-size": 1, "preview-every": 0 };
    const learned = await events(page, "step", ["train", { config, pictures }]);
    report("a training step of one picture", learned);
    report("a denoising step with guidance", await events(page, "denoise", ["generate", { prompt: "an apple", config: { steps } }]));
    return timed(learned.map(({ secs }) => secs));
  } finally {
    await place.close();
  }
}

function native() {
  if (!process.env.PSEUDOWORD || model) return undefined;
  if (!existsSync(ICD)) throw new Error(`${ICD} is not there: SWIFTSHADER must name SwiftShader's driver file`);
  const out = mkdtempSync(join(tmpdir(), "pseudoword-bench-"));
  try {
    const printed = execFileSync(process.env.PSEUDOWORD, [
      "train", "--json", "--device", "gpu", ...peach.slice(0, 2), "--token", "<my-word>", "--init", "apple",
      "--steps", `${steps}`, "--batch-size", "1", "--eval-size", "1", "--preview-every", "0", "--captions", "off", "--out", join(out, "run"),
    ], { env: { ...process.env, VK_DRIVER_FILES: ICD, VK_ICD_FILENAMES: ICD }, maxBuffer: 1 << 26 });
    const events = printed.toString().trim().split("\n").map((line) => JSON.parse(line));
    console.log(`native, on ${events.find(({ event }) => event === "device").name}`);
    return timed(events.filter(({ event }) => event === "step").map(({ secs }) => secs));
  } finally {
    rmSync(out, { recursive: true });
  }
}

const before = native();
const here = median(await browser());
console.log(`a training step of one picture, median: ${here.toFixed(2)} s`);
if (before) {
  const after = native();
  const there = median([...before, ...after]);
  console.log(`natively ${median(before).toFixed(2)} s before and ${median(after).toFixed(2)} s after: ratio ${(here / there).toFixed(2)} (aim: 1.25)`);
}
