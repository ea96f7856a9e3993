// What goes wrong while a word is learned, and costs nothing: a second tab, a lost graphics device, a full storage. On the way: a
// model from a folder, captions, a word kept as it is.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewSteps, hooked, load, look, pauseAfterFirstStep, peach, ready, root, start, teach } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

/** Lets the test take the graphics device away, as a driver that is reset does. */
const LOSABLE = `const ask = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...how) {
    const device = await ask.apply(this, how);
    new BroadcastChannel("lose").onmessage = () => device.destroy();
    return device;
  };`;

/** What is left free as other browsers' windows tell it: in those of Playwright it is not what the override says. */
const HONEST = "StorageManager.prototype.estimate = async () => ({ quota: 64_000, usage: 2_000 });";

test("neither a second tab nor a lost device costs what was learned", { timeout: 900_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  await hooked(context, LOSABLE);
  const page = await open();
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  });
  // The model from a folder on the disk.
  await page.locator("#folder").setInputFiles(join(root, "models/mini"));
  await ready(page);

  // With captions, and a square of one's own choice.
  await teach(page, [peach[0], peach[1]]);
  for (const name of ["noto", "flat"]) await page.getByLabel(`What ${name}.png shows`).fill(`a <peach> in ${name} style`);
  await page.getByRole("button", { name: "Crop or mark flat.png" }).click();
  for (const key of ["-", "ArrowLeft", "Enter"]) await page.keyboard.press(key);

  await fewSteps(page, 3);
  await page.getByLabel("Start from").fill("apple");
  await page.getByLabel("What to call it").fill("<peach>");
  await pauseAfterFirstStep(page);
  await page.evaluate(() => (window.longTasks.length = 0));
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.getByText("Saved after step 1").waitFor({ timeout: 300_000 });
  const tasks = await page.evaluate(() => window.longTasks);
  console.log(`tasks of the page over 50 ms while it learned: ${tasks.map((ms) => `${ms} ms`).join(", ") || "none"}`);
  await accessible(page, "while learning");
  await look(page, "learning");

  // A second tab sees the run, and keeps its hands off it.
  const second = await open();
  await second.getByText("Another tab is learning <peach>").waitFor();
  await teach(second, [peach[2]]);
  await second.getByRole("button", { name: "Learn it" }).click();
  await second.getByText("Another tab of this page is training").waitFor({ timeout: 180_000 });
  await second.close();

  // The device is lost: said, nothing else is, and the engine starts again.
  await page.evaluate(() => new BroadcastChannel("lose").postMessage(""));
  await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).click();
  await page.getByText(/The engine stopped: the graphics card was reset\. Close other programs/).waitFor({ timeout: 60_000 });
  await everywhere(page, "lost");
  await page.getByText("Learning <peach> stopped at step 1 of 3.").waitFor();
  // The engine starts with the model from the disk when it is needed.
  await page.getByRole("button", { name: "Keep the word as it is" }).click();
  await page.locator("#words-room").getByText("<peach>").first().waitFor({ timeout: 180_000 });
  assert.equal(await page.getByText(/The engine stopped/).filter({ visible: true }).count(), 0);
  // Once the word is kept, what was left of the run goes.
  await page.locator("#unfinished").waitFor({ state: "hidden" });
  assert.deepEqual(errors.filter((text) => !/lost|destroyed/i.test(text)), []);
  await context.close();
});

test("a full storage refuses a model with figures, and ends no learning", { timeout: 1_200_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  await hooked(context, HONEST);
  const page = await open();
  const protocol = await context.newCDPSession(page);
  const allow = (quotaSize) => protocol.send("Storage.overrideQuotaForOrigin", { origin: place.origin, quotaSize });
  await allow(64_000);
  // Said before anything is fetched, and again by who insists.
  await page.locator("#load").click();
  await page.locator("#plan-verdict").getByText(/There is no room for it: [\d.]+ MB more/).waitFor({ timeout: 60_000 });
  await page.locator("#fetch").click();
  await page.locator("#model-problem").getByText(/^There is no room: \d+ MB more are needed but the browser allows only 62 kB: delete a stored model/).waitFor();
  await look(page, "full");

  // What is no model is named.
  await page.locator("#checkpoint").setInputFiles(join(root, "tests/formats/fixtures/diffusers.safetensors"));
  await page.locator("#model-problem").getByText(/diffusers\.safetensors is a word, not a model/).waitFor({ timeout: 180_000 });
  await page.locator("#folder").setInputFiles(join(root, "models/mini"));
  await ready(page);
  await teach(page, peach.slice(0, 2));
  await fewSteps(page, 2);
  await page.getByLabel("Start from").fill("apple");
  await page.getByLabel("What to call it").fill("<peach>");
  await pauseAfterFirstStep(page);
  await allow(1_000);
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.locator("#saved-status").getByText(/Not saved after step 1, so leave this tab open: .*full/)
    .waitFor({ timeout: 300_000 });
  await page.getByRole("button", { name: "Stop and keep" }).click();
  await page.locator("#kept-problem").getByText(/<peach> .*download it/).waitFor({ timeout: 300_000 });
  await page.getByRole("heading", { name: "Stopped: <peach> is kept" }).waitFor();
  await accessible(page, "with a full storage");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /^diffusers.*: download <peach>/ }).click()]);
  assert.equal(download.suggestedFilename(), "peach.safetensors");
  assert.deepEqual(errors, []);
  await context.close();
});
