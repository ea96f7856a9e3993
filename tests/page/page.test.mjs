// The page as somebody uses it: load the model, choose pictures, learn a word, make pictures with it.
//
// On SwiftShader, so with as few steps as there can be: what is learned here is no word, but everything happens.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root, start } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

const peach = ["noto", "flat", "3d"].map((name) => join(root, `examples/peach/${name}.png`));

/** Opens the page; whatever it complains about is collected. */
async function open() {
  const page = await place.browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${place.origin}/`);
  return { page, errors };
}

test("a word is learned from chosen pictures, kept, given away and used", { timeout: 600_000 }, async () => {
  const { page, errors } = await open();
  const learn = page.getByRole("button", { name: "Learn it" });
  assert.ok(await learn.isDisabled(), "nothing to learn with yet");
  await page.getByRole("button", { name: "Load the mini model" }).click();
  await page.getByText("The mini model is ready").waitFor({ timeout: 180_000 });

  await page.getByLabel(/Choose three to five pictures/).setInputFiles([...peach, join(root, "README.md")]);
  await page.getByText("README.md is not a PNG, JPEG or WebP picture").waitFor();
  await page.getByRole("button", { name: "Remove 3d.png" }).click();
  assert.equal(await page.getByRole("list", { name: "Chosen pictures" }).getByRole("img").count(), 2);

  await page.getByText("Settings").click();
  const settings = { Steps: "2", "Pictures in a step": "1", "Preview every": "0", "Samples in the fixed batch": "1" };
  for (const [name, value] of Object.entries(settings)) await page.locator("#learn").getByLabel(name, { exact: true }).fill(value);
  await page.getByLabel("What it is like").fill("apple");
  await page.getByLabel("What to call it").fill("cat");
  await learn.click();
  await page.getByText(/"cat" is taken/).waitFor();

  await page.getByLabel("What to call it").fill("<peach>");
  await learn.click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  await page.getByText("Learned.").waitFor({ timeout: 300_000 });
  assert.equal(await page.getByRole("img", { name: "Loss on the fixed batch, over the steps" }).count(), 1);
  assert.equal(await page.locator("#curve tr").count(), 3, "before the first step and after the last");

  const words = page.getByRole("list", { name: "Words" });
  assert.match(await words.textContent(), /<peach> 2 vectors/);
  const [download] = await Promise.all([
    page.waitForEvent("download"), page.getByRole("button", { name: "Download <peach> for A1111" }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "peach.pt");
  const file = readFileSync(await download.path());
  assert.equal(file.subarray(0, 4).toString("latin1"), "PK\x03\x04");

  // A word for another kind of model is refused in words; our own file comes back under its name.
  await page.getByLabel(/Words that others learned/).setInputFiles(join(root, "tests/formats/fixtures/diffusers.bin"));
  await page.getByText(/this model is pseudoword's mini model/).waitFor();
  await page.getByRole("button", { name: "Remove <peach>" }).click();
  await page.getByLabel(/Words that others learned/).setInputFiles({ name: "peach.pt", mimeType: "application/octet-stream", buffer: file });
  await page.getByRole("button", { name: "Download <peach> for diffusers" }).waitFor();

  await page.locator("#make").getByLabel("Steps").fill("1");
  await page.getByLabel("Prompt").fill("a <peach> on a blue background");
  await page.getByRole("button", { name: "Make the picture" }).click();
  const gallery = page.getByRole("list", { name: "Pictures", exact: true });
  await gallery.getByRole("img").nth(1).waitFor({ timeout: 180_000 });
  const [withWord, withoutWord] = await gallery.getByRole("img").evaluateAll((images) => images.map(({ alt, naturalWidth }) => [alt, naturalWidth]));
  assert.deepEqual(withWord, ["a <peach> on a blue background", 64]);
  assert.deepEqual(withoutWord, ["a on a blue background", 64], "the file of another program does not say what it started from");
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
  assert.deepEqual(errors, []);
});

test("a browser without WebGPU is told what to do", async () => {
  const page = await place.browser.newPage();
  await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
  await page.goto(`${place.origin}/`);
  await page.getByText(/This browser offers no WebGPU/).waitFor();
  await page.close();
});
