// The engine in a real browser: Chromium with WebGPU on SwiftShader, no GPU needed.
//
// The page loads the mini model in a dedicated Worker and makes three training steps from a replay; the rows must equal
// those of the native program's `gpu` device and PyTorch's.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cosine, native, root, start, tensor } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

/** The same three steps by the native program on its `gpu` device. */
function nativeRows() {
  const out = mkdtempSync(join(tmpdir(), "pseudoword-page-"));
  try {
    native([
      "train", "--device", "gpu", "--quiet", "--replay", join(root, "tests/fixtures/replay-3.safetensors"),
      "--token", "<thing>", "--init", "ball apple", "--vectors", "2", "--steps", "3", "--batch-size", "1",
      "--lr", "0.005", "--lr-schedule", "constant", "--preview-every", "0", "--eval-every", "0", "--out", join(out, "run"),
    ]);
    return tensor(readFileSync(join(out, "run/learned_embeds.safetensors")), "<thing>");
  } finally {
    rmSync(out, { recursive: true });
  }
}

test("three training steps in a Worker equal the native gpu run and PyTorch", { timeout: 600_000 }, async () => {
  const page = await place.browser.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${place.origin}/www/check.html`);
  assert.deepEqual(requests.filter((url) => /models|pkg/.test(url)), [], "nothing is fetched before the click");
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: "longtask" });
  });
  await page.getByRole("button", { name: "Check this browser" }).click();
  await page.waitForFunction(() => window.result, null, { timeout: 580_000 });
  const { losses, rows, error } = await page.evaluate(() => window.result);
  assert.equal(error, undefined);
  assert.equal(await page.getByRole("status").textContent(), "Done: the engine works here.");
  assert.equal(losses.length, 3);
  assert.equal(page.workers().length, 1, "the engine lives in a dedicated Worker");
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });

  const reference = readFileSync(join(root, "tests/fixtures/trajectory-3.safetensors"));
  const start = tensor(reference, "init_rows");
  const moved = (end) => end.map((value, i) => value - start[i]);
  for (const [name, want] of [["native gpu", nativeRows()], ["PyTorch", tensor(reference, "rows")]]) {
    const [all, change] = [cosine(rows, want), cosine(moved(rows), moved(want))];
    console.log(`rows against ${name}: cosine ${all.toFixed(7)}, of the change alone ${change.toFixed(5)}`);
    assert.ok(all >= 0.999 && change >= 0.99, `${name}: ${all}, ${change}`);
  }
  tensor(reference, "losses").forEach((want, i) => assert.ok(Math.abs(losses[i] / want - 1) < 1e-2, `loss ${i}`));

  assert.deepEqual(requests.filter((url) => !url.startsWith(place.origin) && !url.startsWith("data:")), [], "only its own host");
  assert.deepEqual(errors, []);
  const longest = await page.evaluate(() => window.longest);
  console.log(`longest task of the page: ${longest} ms`);
  await page.close();
});
