// Weights in eight bits: a model is kept so as it comes, also when that breaks off, and used so; one that comes so stays as it is; and a graphics
// device that computes something else with them is refused.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewSteps, hooked, look, peach, root, start, teach, stored as lengths } from "./browser.mjs";
import { playedHub } from "./hub.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

/** The files of the only model in the storage, by their names in its folder, with their lengths. */
const stored = async (page) =>
  Object.fromEntries(Object.entries(await lengths(page)).map(([path, bytes]) => [path.slice(path.indexOf("/") + 1), bytes]));
const bytes = (files) => Object.values(files).reduce((sum, length) => sum + length, 0);

async function lookUp(page, name) {
  await page.locator("#other-models:not([open]) summary").click({ timeout: 2000 }).catch(() => {});
  const repository = page.getByLabel(/from a repository/);
  await repository.fill(name);
  await repository.press("Enter");
  await page.locator("#plan-verdict").waitFor({ timeout: 60_000 });
}

test("a model is kept in eight bits: half the storage, also when it breaks off, and it learns and draws so", { timeout: 1_200_000 }, async (t) => {
  const hub = await playedHub({ forms: true, hold: /f16.*text_encoder\/model/ });
  t.after(hub.close);
  const { context, open, errors } = await place.visitor();
  const visit = `?hub=${encodeURIComponent(hub.url)}`;
  const page = await open(visit);
  const room = page.locator("#models-room");
  await lookUp(page, "someone/f16");
  const [plan, eight] = [page.locator("#plan"), page.getByLabel(/Keep it in 8 bits: about \d.* MB instead of 14 MB, and less memory/)];
  await plan.getByText("14 MB in 12 files").waitFor();
  assert.equal(await eight.isChecked(), false, "what is small is kept as it is");
  await eight.check();
  await page.waitForFunction(() => document.activeElement.id === "eight" && !document.getElementById("eight").disabled);
  assert.ok(await eight.isChecked());
  await everywhere(page, "eight-plan");

  // Stopped while the U-Net comes, which is first because it is the largest.
  await room.getByRole("button", { name: "Download", exact: true }).click();
  await hub.slow();
  await room.getByRole("button", { name: "Stop" }).click();
  const here = room.getByText(/^[\d.]+ MB of 14 MB here$/);
  await here.waitFor({ timeout: 60_000 });
  // It goes on in eight bits, and breaks off again once the U-Net is written.
  await page.reload();
  await here.waitFor();
  await room.getByRole("button", { name: "Resume" }).click();
  while (!hub.asked.some((path) => path.includes("text_encoder/model"))) await new Promise((resolve) => setTimeout(resolve, 50));
  let files = await stored(page);
  assert.ok(files["q8/unet/diffusion_pytorch_model.safetensors"] > 5e6 && !("unet/diffusion_pytorch_model.safetensors" in files), JSON.stringify(files));
  await page.reload();
  await page.getByText("Storage", { exact: true }).click();
  await room.getByRole("list", { name: "Stored models" }).getByText(/^1\d MB of 14 MB here$/).waitFor({ timeout: 60_000 });
  await room.getByRole("button", { name: "Resume" }).first().click();
  await page.getByText("Precision and mirror").click();
  await page.getByRole("combobox", { name: "Weights" }).selectOption("q8");
  hub.release();
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 400_000 });
  const unet = hub.asked.filter((path) => path.includes("f16/resolve") && path.includes("unet/diffusion"));
  assert.equal(unet.length, 3, `what was written is not fetched again: ${unet}`);
  files = await stored(page);
  assert.deepEqual(Object.keys(files).filter((path) => path.includes(".safetensors") && !path.startsWith("q8/")), [], "what it was made of is gone");
  assert.ok(bytes(files) < 8.6e6 && bytes(files) > 7e6, `${bytes(files)} bytes`);
  await room.getByText(/^8\.\d MB \u00b7 8 bits$/).waitFor();
  await accessible(page, "with a model in eight bits");
  await look(page, "eight-stored");

  // The next visit opens it from the storage.
  const before = hub.asked.length;
  await page.reload();
  await page.getByText("Storage", { exact: true }).click();
  await room.getByRole("button", { name: "Load: someone/f16" }).click({ timeout: 60_000 });
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 400_000 });
  assert.equal(hub.asked.length, before);
  await teach(page, peach.slice(0, 1));
  await fewSteps(page, 1);
  await page.getByLabel("Start from").fill("apple");
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.waitForFunction(() => document.body.dataset.now === "learned", null, { timeout: 400_000 });
  await page.locator("#make-steps").evaluate((field) => (field.value = "1"));
  await page.getByRole("button", { name: "Make pictures with it" }).click();
  await page.waitForFunction(() => document.querySelector(".set") && !document.querySelector(".set[aria-busy]"), null, { timeout: 400_000 });
  await page.waitForFunction(() => [...document.querySelectorAll(".set img")].every((image) => image.naturalWidth === 64));

  // One that comes so is not written anew.
  await lookUp(page, "someone/q8");
  await plan.getByText(/^8\.\d MB in 12 files \u00b7 8 bits$/).waitFor();
  assert.ok(await eight.isHidden());
  assert.deepEqual(errors.filter((text) => !/404|ERR_/.test(text)), []);
  await context.close();
});

test("a graphics device that computes wrong values with weights in eight bits is refused with words", { timeout: 600_000 }, async () => {
  const { context, open } = await place.visitor();
  // As a compiler does that takes signed bytes for unsigned ones.
  await hooked(context, `const make = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (how) {
      return make.call(this, how.code.includes("0x80808080") ? { ...how, code: how.code.replaceAll(/\\^ 0x80808080u|\\^ 2155905152u/g, "") } : how);
    };`);
  const page = await open();
  await page.locator("#folder").setInputFiles(join(root, "models/mini"));
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 180_000 });
  await page.getByText("Precision and mirror").click();
  await page.getByRole("combobox", { name: "Weights" }).selectOption("q8");
  await page.locator("#folder").setInputFiles(join(root, "models/mini"));
  await page.locator("#problem, #model-problem").getByText(/wrong values for linear layers in eight bits/).first().waitFor({ state: "attached", timeout: 300_000 });
  await context.close();
});
