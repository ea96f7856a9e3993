// The page's choice of a precision. Chromium's software GPU has no f16, so it is played: the Worker is told that the adapter has
// it, and kernels in f16 are compiled with f32 in its place.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, hooked, load, look, start } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

/** An adapter with f16, whose compiler does this to the text of a kernel in f16. The page is told what is compiled, and what of that is launched. */
const played = (compiled) => `const has = GPUSupportedFeatures.prototype.has;
  GPUSupportedFeatures.prototype.has = function (name) {
    return name === "shader-f16" || has.call(this, name);
  };
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = function (how) {
    return request.call(this, { ...how, requiredFeatures: [...how.requiredFeatures].filter((name) => name !== "shader-f16") });
  };
  const heard = new BroadcastChannel("f16");
  const halves = new WeakSet();
  const { createShaderModule, createComputePipeline } = GPUDevice.prototype, { setPipeline } = GPUComputePassEncoder.prototype;
  GPUDevice.prototype.createShaderModule = function (how) {
    if (!how.code.includes("enable f16;")) return createShaderModule.call(this, how);
    heard.postMessage("compiled");
    const made = createShaderModule.call(this, { ...how, code: (${compiled})(how.code) });
    halves.add(made);
    return made;
  };
  GPUDevice.prototype.createComputePipeline = function (how) {
    const made = createComputePipeline.call(this, how);
    if (halves.has(how.compute.module)) halves.add(made);
    return made;
  };
  GPUComputePassEncoder.prototype.setPipeline = function (pipeline) {
    if (halves.has(pipeline)) heard.postMessage("launched");
    return setPipeline.call(this, pipeline);
  };`;

const RIGHT = `(code) => code.replace("enable f16;", "alias f16 = f32;")`;
const WRONG = `(code) => code.replace("enable f16;", "alias f16 = f32;").replaceAll("Strip(steps[0])", "Strip(2.0 * steps[0])")`;

/** A page with the mini model; `count("compiled")` is how many kernels in f16 were compiled, `count("launched")` how often one was launched. */
async function opened(visitor) {
  const page = await visitor.open();
  await page.evaluate(() => {
    window.counts = { compiled: 0, launched: 0 };
    new BroadcastChannel("f16").onmessage = ({ data }) => window.counts[data]++;
  });
  await load(page);
  await page.locator("#model-settings summary").click();
  return { page, note: page.locator("#precision-note"), choice: page.getByRole("combobox", { name: /^Precision/ }), count: (which) => page.evaluate((which) => window.counts[which], which) };
}

test("what an adapter does not have is not offered, and said", { timeout: 300_000 }, async () => {
  const visitor = await place.visitor();
  const { page, note, choice } = await opened(visitor);
  await note.getByText("Matrix products are made in f32: the device has no f16.").waitFor();
  const half = choice.locator("option[value=f16]");
  assert.deepEqual([await half.isDisabled(), await half.getAttribute("label")], [true, "f16, half precision (this graphics adapter has no f16)"]);
  await choice.selectOption("f32");
  await note.getByText("in f32: as requested").waitFor();
  await accessible(page, "with a choice of precision");
  await look(page, "precision");
  assert.deepEqual(visitor.errors, []);
  await visitor.context.close();
});

/** Changes what is kept of each way that was tested; gives what was kept before. */
const rewrite = (page, changes) => page.evaluate(async (changes) => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("precision");
  const [name] = await Array.fromAsync(folder.keys());
  const file = await folder.getFileHandle(name);
  const kept = JSON.parse(await (await file.getFile()).text());
  const before = structuredClone(kept.ways);
  kept.ways = kept.ways.map((way) => ({ ...way, ...changes }));
  const writing = await file.createWritable();
  await writing.write(JSON.stringify(kept));
  await writing.close();
  return before;
}, changes);

test("f16 that computes wrong values is refused with words, f32 stays, and insisting tests it again", { timeout: 600_000 }, async () => {
  const visitor = await place.visitor();
  await hooked(visitor.context, played(WRONG));
  const refused = (page) => page.locator("#model-problem")
    .getByText(/No way to make products in f16 passed its self-test \(strips in f16: wrong values for linear layers .*“Precision” f16 cannot be had here/)
    .waitFor({ timeout: 300_000 });
  let { page, note, choice, count } = await opened(visitor);
  await note.getByText("in f32: f32 is faster on a software GPU").waitFor();
  assert.equal(await count("compiled"), 0, "nothing is tested that is not wanted");
  await choice.selectOption("f16");
  await refused(page);
  await look(page, "precision-refused");
  assert.equal(await choice.inputValue(), "auto");
  await note.getByText("in f32").waitFor();
  await rewrite(page, { wrong: "it was a Monday" });
  await page.close();

  // The driver may have been updated, which no page hears.
  ({ page, note, choice, count } = await opened(visitor));
  await choice.selectOption("f16");
  await refused(page);
  assert.ok((await count("compiled")) > 0, "it is tested again");

  // What was found replaces what was kept. The whole test of f16 that is right takes SwiftShader's compiler a minute and a half: it runs on Mesa's
  // GPU (`f16_is_tested_once_and_what_was_found_decides`), and this browser's compiler sees the kernels in kernels.test.mjs. Here is kept what it
  // would have found, and seen that it is used; whether it is right is for the test to say.
  const [way, ...others] = await rewrite(page, { wrong: null });
  assert.deepEqual(others, []);
  assert.match(way.wrong, /wrong values/);
  await page.close();

  await hooked(visitor.context, played(RIGHT));
  ({ page, note, choice, count } = await opened(visitor));
  await choice.selectOption("f16");
  await note.getByText("in f16 with sums in f32, with strips in f16: as requested").waitFor({ timeout: 60_000 });
  assert.deepEqual([await count("compiled"), await count("launched")], [0, 0], "what was found is remembered");
  await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("an apple");
  await page.locator("#make").getByText("Settings", { exact: true }).click();
  await page.locator("#make").getByLabel("Steps", { exact: true }).fill("1");
  await page.locator("#make").getByRole("button", { name: "Make", exact: true }).click();
  await page.waitForFunction(() => document.querySelector(".set img")?.naturalWidth > 0, null, { timeout: 300_000 });
  assert.ok((await count("launched")) > 30, "it is used");
  assert.deepEqual(visitor.errors, []);
  await visitor.context.close();
});
