// The page as somebody uses it: learn the example by one click, close the tab in the middle, go on, look at what came of it.
//
// On SwiftShader, so with as few steps as there can be: what is learned here is no word, but everything happens.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, cosine, everywhere, fewExampleSteps, native, pauseAfterFirstStep, root, start, tensor } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

const visitor = () => place.visitor();

/** The same run by the native program on its `gpu` device. */
function nativeRows(steps) {
  const out = mkdtempSync(join(tmpdir(), "pseudoword-page-"));
  try {
    native([
      "train", "--device", "gpu", "--quiet", join(root, "examples/peach"), "--token", "<peach>", "--init", "apple",
      "--steps", `${steps}`, "--batch-size", "1", "--eval-size", "1", "--preview-every", "0", "--out", join(out, "run"),
    ]);
    return tensor(readFileSync(join(out, "run/learned_embeds.safetensors")), "<peach>");
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** Saves a download, for the native program to look at. */
async function downloaded(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
  return { name: download.suggestedFilename(), path: await download.path(), bytes: readFileSync(await download.path()) };
}

/** What the time from opening the page to the first preview is made of, in words. */
const marks = (page) => page.evaluate(() => {
  const parts = ["engine", "model", "preview"].map((name) => [name, performance.getEntriesByName(`pseudoword:${name}`)[0]?.startTime]);
  return parts.filter(([, time]) => time !== undefined).map(([name, time]) => `${name} ${(time / 1000).toFixed(1)} s`).join(", ");
});

test("the example is learned by one click, over two visits, and is a word like any other", { timeout: 900_000 }, async () => {
  const { context, open, errors, requests } = await visitor();
  await fewExampleSteps(context, { steps: 3, "batch-size": 1, "eval-size": 1, "preview-every": 3, "preview-steps": 8 });
  let page = await open();
  const heavy = () => requests.filter((url) => /models\/|pkg\//.test(url.replace(/www\/models\//, "")));
  assert.deepEqual(heavy(), [], "nothing heavy is fetched before the click");
  assert.equal(await page.locator("button:disabled, input:disabled").filter({ visible: true }).count(), 0, "nothing stands there disabled");
  await page.locator("#example-note").getByText(/plus a single download of 8 MB/).waitFor();
  // By keyboard: the first thing after the frame's own is what to learn, and then the button.
  await page.locator("#theme").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Learn <peach> now");
  await pauseAfterFirstStep(page);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "learning-title", "the focus goes where things happen");
  const preview = page.getByRole("img", { name: "Preview at step 0" });
  await preview.waitFor({ timeout: 300_000 });
  console.log(`from opening to the first preview: ${await marks(page)}`);
  assert.equal(await preview.evaluate((image) => image.naturalWidth), 64);

  // Paused after the first step, saved, and the tab is closed.
  await page.getByText("Saved after step 1").waitFor({ timeout: 300_000 });
  assert.equal(await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).count(), 1, "it waits");
  assert.match(await page.title(), /^\[paused\]/);
  await everywhere(page, "paused");
  await page.close({ runBeforeUnload: false });

  // The next visit, without a network for anything but the page: model and run are still here, and the run is offered at once.
  await context.route(/\/models\/mini\//, (route) => route.abort());
  requests.length = 0;
  page = await open();
  await page.getByText("Learning <peach> stopped at step 1 of 3.").waitFor();
  assert.deepEqual(heavy(), [], "what was left is found without the engine");
  await everywhere(page, "unfinished");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("heading", { name: "<peach> has been learned" }).waitFor({ timeout: 300_000 });
  assert.equal(await page.evaluate(() => document.activeElement.id), "learning-title");
  assert.equal(await page.title(), "pseudoword");
  assert.equal(await page.getByRole("img", { name: "Evaluation loss over the steps" }).count(), 1);
  assert.match(await page.locator("#verdict").textContent(), /./);
  await everywhere(page, "learned");

  // The previews of both visits, by keyboard.
  await page.getByRole("img", { name: "Preview at step 3" }).waitFor();
  await page.getByRole("slider", { name: "Previews by step" }).press("ArrowLeft");
  await page.getByRole("img", { name: "Preview at step 0" }).waitFor();
  const value = await page.getByRole("slider", { name: "Previews by step" }).getAttribute("aria-valuetext");
  // What is in brackets does not break.
  assert.equal(value.replaceAll("\u00a0", " "), "Before learning (1 of 2)");

  const file = await downloaded(page, /^diffusers.*: download <peach>/);
  assert.equal(file.name, "peach.safetensors");
  const [about] = native(["inspect", "--json", file.path]).toString().trim().split("\n").map((line) => JSON.parse(line)).slice(-1);
  assert.match(JSON.stringify(about), /<peach>/);
  const same = cosine(tensor(file.bytes, "<peach>"), nativeRows(3));
  console.log(`learned in two visits against native gpu in one run: cosine ${same.toFixed(7)}`);
  assert.ok(same >= 0.999, `${same}`);
  assert.equal((await downloaded(page, /^A1111.*: download <peach>/)).bytes.subarray(0, 4).toString("latin1"), "PK\x03\x04");

  // Another word: defaults are the engine's, and what is typed is checked as it is typed.
  await page.getByRole("button", { name: "Teach another word" }).click();
  await page.getByLabel("What to call it").fill("cat");
  await page.locator("#token-note").getByText(/“cat” is taken/).waitFor();
  await page.getByLabel("Start from").fill("my own red apple tree");
  await page.locator("#init-note").getByText(/6 tokens: learned as 6 vectors or more/).waitFor();
  await page.getByLabel("Start from").fill("apple");
  await page.locator("#init-note").getByText("1 token", { exact: true }).waitFor();
  await page.getByLabel("What to call it").fill("<other>");
  await page.locator("#token-note").getByText("How you will write it in prompts").waitFor();
  await page.locator("#need").getByText(/^On the mini model, .* Takes .*of the GPU's memory/).waitFor();
  await accessible(page, "with another word to teach");

  const foreign = requests.filter((url) => !url.startsWith(place.origin) && !/^(data|blob):/.test(url));
  assert.deepEqual(foreign, [], "the pictures, and everything else, stay here");
  assert.deepEqual(errors.filter((text) => !/ERR_FAILED/.test(text)), [], "beside the requests that were made to fail");
  await context.close();
});
