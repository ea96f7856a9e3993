// Shows that a full-size model goes from the disk to the browser's GPU a tensor at a time: picks the folder on the page, waits
// until the model is ready (which it is when samples of its weights were read back and found right), and prints the engine's
// memory, what the page says of the model and the sizes of pictures that it offers. By hand, because the model has gigabytes and
// SwiftShader, which is slow, holds them in the machine's memory:
//
//     python benches/peer/random_model.py FOLDER --full      # 2.1 GB; with --sdxl 6.9 GB
//     node tests/page/streaming.mjs FOLDER [STEPS]
//
// or a single file in place of the folder (benches/peer/random_checkpoint.py makes one).
//
// With STEPS it also learns on two pictures of 64 x 64 pixels.

import { join } from "node:path";
import { fewSteps, root, start, teach } from "./browser.mjs";

const [folder, steps] = process.argv.slice(2);
const BOUND = 256 << 20;
const place = await start({ sources: true });
try {
  const page = await place.browser.newPage();
  page.on("console", (message) => message.type() === "error" && console.log(`browser: ${message.text()}`));
  await page.goto(`${place.origin}/`);
  const began = Date.now();
  const seconds = () => `${((Date.now() - began) / 1000).toFixed(0)} s`;
  await page.locator(folder.endsWith(".safetensors") ? "#checkpoint" : "#folder").setInputFiles(folder);
  const status = page.locator("#model-line");
  const ready = status.getByText(/^Ready/).waitFor({ timeout: 1_800_000 });
  const failed = page.locator("#model-problem, #problem").getByText(/./).first().waitFor({ timeout: 1_800_000 });
  const outcome = await Promise.race([ready.then(() => undefined), failed.then(() => page.locator("#model-problem, #problem-text").allTextContents())]);
  if (outcome) throw new Error(outcome.join(" "));
  const ask = (type, request) => page.evaluate(async ([type, request]) => (await import("./www/base/studio.js")).ask(type, request), [type, request]);
  const heap = async (when) => {
    const peak = await ask("memory");
    console.log(`the engine's memory ${when}: ${(peak / 2 ** 20).toFixed(1)} MiB (bound: ${BOUND / 2 ** 20} MiB)`);
    if (peak > BOUND) process.exitCode = 1;
  };
  console.log(`${await status.textContent()} after ${seconds()}`);
  await heap("after loading");
  const facts = page.locator("#model-facts div").filter({ hasText: "GPU memory" });
  console.log(`the page says: ${(await facts.allTextContents()).map((fact) => fact.replace(/\s+/g, " ").trim()).join("; ")}`);
  const sizes = await page.locator("#make-sizes option").evaluateAll((options) => options.map(({ value }) => value));
  console.log(`sizes that are offered: ${sizes.join(", ") || "none but the model's own"}`);
  if (steps) {
    await teach(page, ["noto", "flat"].map((name) => join(root, `examples/peach/${name}.png`)));
    await fewSteps(page, steps, { "Side in pixels": "64" });
    const said = page.locator("#train-status");
    await page.getByRole("button", { name: "Learn it" }).click();
    const began = Date.now();
    let last = "";
    while ((await page.evaluate(() => document.body.dataset.now)) !== "learned") {
      const now = await said.textContent();
      if (now !== last) console.log(`${((Date.now() - began) / 1000).toFixed(0)} s: ${now}`);
      last = now;
      const wrong = (await page.locator("#learn-problem, #problem-text").allTextContents()).join("");
      if (wrong && !/captions|pictures/.test(wrong)) throw new Error(wrong);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await heap("after learning");
  }
} finally {
  await place.close();
}
