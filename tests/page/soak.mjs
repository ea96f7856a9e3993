// Makes pictures and learns, round after round, and fails if anything grows that should not: by hand, `node soak.mjs [MINUTES]`.
//
// What is looked at after each round, when the gallery is empty again: the page's heap after a collection, its DOM nodes and listeners,
// addresses of blobs that were not given back, the engine's own memory, which never shrinks, and the GPU's buffers that are not destroyed.

import assert from "node:assert/strict";
import { COUNT_BUFFERS, buffers, fewExampleSteps, hooked, start } from "./browser.mjs";

const minutes = Number(process.argv[2] ?? 30);
/** Rounds in which caches fill. */
const WARM = 2;
/** By how much more than after the first rounds each may be, relative and absolute. */
const ALLOWED = { heap: [0.1, 2e6], nodes: [0.05, 50], listeners: [0.05, 50], blobs: [0, 8], wasm: [0.02, 1 << 20], buffers: [0.05, 16 << 20] };

/** Counts addresses of blobs. */
function countBlobs() {
  const open = new Set();
  const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (blob) => {
    const url = make.call(URL, blob);
    open.add(url);
    return url;
  };
  URL.revokeObjectURL = (url) => {
    open.delete(url);
    revoke.call(URL, url);
  };
  window.openBlobs = open;
}

const studio = (page, work) => page.evaluate(work);

async function measure(page, devtools) {
  for (let i = 0; i < 3; i++) await devtools.send("HeapProfiler.collectGarbage");
  const { metrics } = await devtools.send("Performance.getMetrics");
  const metric = (name) => metrics.find((one) => one.name === name).value;
  const [blobs, wasm] = await studio(page, async () => [openBlobs.size, await (await import(new URL("www/base/studio.js", document.baseURI))).ask("memory")]);
  return { heap: metric("JSHeapUsedSize"), nodes: metric("Nodes"), listeners: metric("JSEventListeners"), blobs, wasm, buffers: (await buffers(page)).all };
}

/** Learns the example with as few steps as there can be, by the page's own ways. */
async function learn(page) {
  await studio(page, async () => {
    const { learnExample } = await import(new URL("www/start/examples.js", document.baseURI));
    await learnExample("peach");
  });
  await page.locator("#learned").waitFor({ timeout: 900_000 });
}

async function make(page) {
  await page.locator("#make-steps").evaluate((field) => (field.value = 2));
  await studio(page, async () => {
    const { makeNow } = await import(new URL("www/make/make.js", document.baseURI));
    makeNow({ prompt: "a <peach> on a blue background", seeds: 2 });
  });
  await page.locator("#make-stop").waitFor();
  await page.locator("#generate").waitFor({ timeout: 900_000 });
  assert.equal(await page.locator("#make-problem").textContent(), "");
  await page.locator(".pair img[src]").first().waitFor();
  // Looked at, deleted and had back; then everything is deleted.
  await page.getByRole("button", { name: /^Look at it large/ }).first().click();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Delete: a <peach>/ }).first().click();
  await page.locator("#gallery-undo").click();
  await page.locator("#gallery-clear").click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
  await page.locator("#gallery-empty").waitFor();
}

/** The word that was learned is taken away again. */
async function forget(page) {
  await page.locator("#words .word-open").first().click();
  await page.getByRole("button", { name: "Remove from the shelf: <peach>" }).click();
  // It stays open from one round to the next.
  await page.locator("#words-removed").evaluate((fold) => (fold.open = true));
  await page.getByRole("button", { name: "Delete for good: <peach>" }).click();
  await page.getByRole("button", { name: "Delete: no undo" }).click();
  await page.locator("#words-empty").waitFor();
}

const place = await start({ sources: true });
const { context, errors } = await place.visitor();
await context.addInitScript(countBlobs);
await hooked(context, COUNT_BUFFERS);
await fewExampleSteps(context, { steps: 2, "batch-size": 1, "eval-size": 1, "preview-every": 2 });
const page = await context.newPage();
page.on("pageerror", (error) => errors.push(error.message));
await page.goto(`${place.origin}/`);
const devtools = await context.newCDPSession(page);
await devtools.send("Performance.enable");
const end = Date.now() + minutes * 60_000;
const rounds = [];
while (Date.now() < end || rounds.length < WARM + 2) {
  await learn(page);
  await make(page);
  await forget(page);
  const now = await measure(page, devtools);
  rounds.push(now);
  console.log(`round ${rounds.length}: ${Object.entries(now).map(([name, value]) => `${name} ${value}`).join(", ")}`);
}
await place.close();
assert.deepEqual(errors, []);
const first = rounds[WARM - 1];
for (const [name, [share, more]] of Object.entries(ALLOWED)) {
  const bound = first[name] + Math.max(first[name] * share, more);
  assert.ok(rounds.at(-1)[name] <= bound, `${name} grew from ${first[name]} to ${rounds.at(-1)[name]} in ${rounds.length - WARM} rounds`);
}
console.log("nothing grew");
