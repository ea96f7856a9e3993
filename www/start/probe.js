// How fast this browser's GPU is, found out without the engine and without fetching anything, and what learning takes on it: guessed
// from a small product, or known from what was learned here before.

import { keep, recall } from "../base/memory.js";
import { told } from "./gpu.js";

/** Where it is kept how long a sample took on which GPU. */
const KEPT = "pseudoword:speed";

// ---- What guesses are made of: this is what calibration changes.

/** Multiplies and adds for a sample of 64 x 64 pixels on the mini model: for its gradient, and for a prediction alone. */
const GRADIENT = 1.1e9;
const PREDICTION = 0.52e9;
/** Multiplies and adds for a sample's gradient on Stable Diffusion 1.5 at 512 pixels, and on SDXL at 1024: see benches/README.md. */
const WHOLE_GRADIENT = { sd: 2.8e12, sdxl: 22.6e12 };
/** Predictions that the trying of a word takes, and how many steps it begins with: the engine's rules (src/train/quality/). */
const TRIAL = { steps: 50, predictions: 544 };
/** What is launched for each step, however many samples it has, and seconds that a browser takes for a launch. */
const LAUNCHES = { step: 400, evaluation: 210, denoising: 175 };
const LAUNCH = 40e-6;
/** How much of the small product's speed a step of the mini model has, and of the large one's a step of a whole model: measured on SwiftShader and, in
 * Chromium, on an H100, of which the small product leaves most idle. */
const SHARE = { software: 1, hardware: 2, whole: 0.92 };
/** Seconds until the first step that are not steps: fetching, compiling kernels, loading, encoding pictures. Where something was learned before, a browser
 * has most kernels ready. */
const BEFORE = { software: 12, hardware: 12, known: 4 };
/** What an example asks for, as www/start/examples.js and the engine have it. */
const EXAMPLE = { steps: 300, batch: 4, evaluations: 13, evalSize: 16, previews: 13, previewSteps: 8 };

// ---- How the speed is found.

/** Milliseconds that the product should be repeated for: less says little of a GPU that answers slowly. */
const LONG_ENOUGH = 10;
const MOST_TIMES = 512;
/** So many tries, as long as they do not take more milliseconds than that: short ones, of which some are left alone by whatever else runs. */
const TRIES = 40;
const PATIENCE = 400;
/** The middle try may take so many times as long as the quickest: where they differ by more, the computer does something else at the same time, and
 * even the quickest says nothing. */
const STEADY = 2.5;

/** Products like those of a model: rows, columns and inner axis, a multiple of what a workgroup makes, and its invocations. The small model's
 * leave much of a graphics card idle, large ones do not; software has few lanes. */
const SMALL = { side: 128, lanes: 8 };
export const LARGE = { side: 1024, lanes: 64 };

/** An invocation makes 8 x 4 values, as the engine's kernels for software GPUs do: those are what is slow enough to be guessed well. */
const product = ({ side, lanes }) => `
  const SIDE = ${side}u;
  @group(0) @binding(0) var<storage, read_write> left: array<vec4<f32>>;
  @group(0) @binding(1) var<storage, read_write> right: array<vec4<f32>>;
  @group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

  @compute @workgroup_size(${lanes})
  fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = id.x % (SIDE / 4u);
    let row = id.x / (SIDE / 4u) * 8u;
    ${eight((i) => `var sum${i} = vec4<f32>();`)}
    for (var k = 0u; k < SIDE / 4u; k += 1u) {
      let at = 4u * k * (SIDE / 4u) + column;
      let four = mat4x4(right[at], right[at + SIDE / 4u], right[at + 2u * (SIDE / 4u)], right[at + 3u * (SIDE / 4u)]);
      ${eight((i) => `sum${i} += four * left[(row + ${i}u) * (SIDE / 4u) + k];`)}
    }
    ${eight((i) => `result[(row + ${i}u) * (SIDE / 4u) + column] = sum${i};`)}
  }`;

function eight(line) {
  return Array.from({ length: 8 }, (_, i) => line(i)).join("\n");
}

async function described() {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return undefined;
  return { adapter, ...told(adapter) };
}

/** What tries that took so many milliseconds tell: the quickest, which others disturbed least, if it can be trusted. */
export function settled(tries) {
  const sorted = tries.toSorted((a, b) => a - b);
  return { ms: sorted[0], steady: sorted[sorted.length >> 1] <= STEADY * sorted[0] };
}

/** Several tries. */
async function tried(once) {
  const tries = [];
  const began = performance.now();
  while (tries.length < TRIES && (tries.length < 3 || performance.now() - began < PATIENCE)) tries.push(await once());
  return settled(tries);
}

/** A product like those of the engine, `SMALL` or `LARGE`: `{gflops, steady}`, billions of operations in a second, and whether it was the same in all
 * tries. */
export async function speed(adapter, { side, lanes } = SMALL) {
  const operations = 2 * side ** 3;
  const device = await adapter.requestDevice();
  try {
    const buffer = () => device.createBuffer({ size: 4 * side * side, usage: GPUBufferUsage.STORAGE });
    const entries = [0, 1, 2].map((binding) => ({ binding, resource: { buffer: buffer() } }));
    const compute = { module: device.createShaderModule({ code: product({ side, lanes }) }), entryPoint: "main" };
    const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const timed = async (times) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(side * side / 32 / lanes);
      pass.end();
      const began = performance.now();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      return performance.now() - began;
    };
    // The first time it is made ready; after that, one is the least that anything takes.
    await timed(1);
    const { ms: one, steady } = await tried(() => timed(1));
    if (one > LONG_ENOUGH) return { gflops: operations / one / 1e6, steady };
    let times = 4;
    while (times < MOST_TIMES && (await timed(times)) < LONG_ENOUGH) times *= 2;
    const many = await tried(() => timed(times));
    // Half of it at most: one may have been disturbed more than many.
    const ms = many.ms - Math.min(one, many.ms / 2);
    return { gflops: operations * (times - 1) / ms / 1e6, steady: many.steady };
  } finally {
    device.destroy();
  }
}

/** Seconds that samples took by the name of a GPU. */
const kept = () => recall(KEPT);

/** Seconds that learning on the mini model takes on a GPU of which `probe` told, or nothing where it told too little. */
export function secondsFor({ steps, batch, evaluations = 0, evalSize = 16, previews = 0, previewSteps = 12 }, { gflops, software, sample }) {
  const kind = software ? "software" : "hardware";
  const before = BEFORE[sample && !software ? "known" : kind];
  // What was measured is a sample's share of a step; predictions are a part of that.
  const guessed = (work, launches) => Math.max(work / (gflops * SHARE[kind] * 1e9), launches * LAUNCH);
  const of = (work, launches, count) => (sample ? sample * count * (work / GRADIENT) : guessed(work * count, launches));
  if (!sample && !gflops) return undefined;
  return before + steps * of(GRADIENT, LAUNCHES.step, batch)
    + evaluations * of(PREDICTION, LAUNCHES.evaluation * Math.ceil(evalSize / batch), evalSize)
    + previews * previewSteps * of(PREDICTION, LAUNCHES.denoising, 2)
    + (steps < TRIAL.steps ? 0 : of(PREDICTION, LAUNCHES.denoising * TRIAL.predictions / Math.min(batch, 8), TRIAL.predictions));
}

/** Two figures at most: more would be a promise. */
export function rounded(seconds) {
  const unit = seconds < 20 ? 1 : seconds < 60 ? 5 : seconds < 600 ? 30 : seconds < 1800 ? 60 : 300;
  return Math.max(unit, Math.round(seconds / unit) * unit);
}

/** Keeps the seconds that a sample took of a step on the mini model on this GPU, for the next time that somebody asks. */
export async function remember(sample) {
  const found = await described().catch(() => undefined);
  if (!found || !(sample > 0)) return;
  keep(KEPT, { ...kept(), [found.name]: sample });
}

/** Seconds that a sample took in the last run on each model, by its name. */
const PACE = "pseudoword-pace";

/** The seconds that a sample of a step took here on a model. */
export const paceOf = (model) => recall(PACE)?.[model];

/** Remembers how long the samples of a run took. */
export function keepPace(model, seconds) {
  keep(PACE, { ...recall(PACE), [model]: seconds });
  if (model === "mini") remember(seconds);
}

let whole;

/** Seconds that a sample of a step takes on a model of Stable Diffusion's size, or of SDXL's: `{seconds, measured}`, known from a run here or
 * guessed from a trial; nothing where there is no GPU, or where trials tell nothing. */
export async function paceOfLarge(model, sdxl) {
  const known = paceOf(model);
  if (known) return { seconds: known, measured: true };
  whole ??= described().then((found) => found && speed(found.adapter, found.software ? SMALL : LARGE)).catch(() => undefined);
  const { gflops, steady } = (await whole) ?? {};
  return steady ? { seconds: WHOLE_GRADIENT[sdxl ? "sdxl" : "sd"] / (gflops * SHARE.whole * 1e9), measured: false } : undefined;
}

/** What computes, how fast, and what learning an example takes: `{gpu?, software, gflops?, sample?, seconds?, shaky?}`. `gpu` is a graphics card's
 * name, `sample` what a sample took here before; `shaky` is that trials told nothing. Never throws. */
export async function probe() {
  try {
    const found = await described();
    if (!found) return { software: false };
    const { adapter, name, software } = found;
    const about = { gpu: software ? undefined : name || undefined, software, sample: kept()?.[name] };
    if (!about.sample) {
      const { gflops, steady } = await speed(adapter);
      if (!steady) return { ...about, shaky: true };
      about.gflops = gflops;
    }
    const seconds = secondsFor(EXAMPLE, about);
    return { ...about, seconds: seconds && rounded(seconds) };
  } catch {
    return { software: false };
  }
}
