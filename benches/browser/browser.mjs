// Time per training step of the mini model in a browser tab against the native program, both on SwiftShader (Chromium's own
// Vulkan on the processor), one after the other:
//
//     PSEUDOWORD=target/release/pseudoword node benches/browser/browser.mjs [STEPS]
//
// and how long a visitor waits from the first click to the first preview. Nothing else should be running. The native program
// runs before and after the browser, because machines that are shared change their speed while this lasts: how far its two
// medians differ tells what a ratio is worth. The first two steps compile kernels and are left out; medians of the others are
// compared.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fewSteps, load, peach, start } from "../../tests/page/browser.mjs";

const ICD = process.env.SWIFTSHADER ?? "/usr/lib/chromium/vk_swiftshader_icd.json";
const steps = Number(process.argv[2] ?? 8);
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const timed = (seconds) => seconds.slice(2);

async function browser() {
  const place = await start();
  try {
    const { open } = await place.visitor();
    const page = await open();
    const began = Date.now();
    await load(page);
    await page.getByLabel(/Choose three to five pictures/).setInputFiles(peach.slice(0, 2));
    await fewSteps(page, steps, { "Preview every": `${steps}` });
    await page.getByLabel(/Start from/).fill("apple");
    await page.evaluate(() => {
      window.steps = [];
      window.tasks = [];
      new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    });
    // The events as the page gets them.
    await page.evaluate(async () => {
      const { studio } = await import("./www/studio.js");
      const ask = studio.client.ask.bind(studio.client);
      studio.client.ask = async (...request) => {
        const answer = await ask(...request);
        if (answer?.event === "step") window.steps.push(answer.secs);
        return answer;
      };
    });
    await page.getByRole("button", { name: "Learn it" }).click();
    await page.getByRole("img", { name: "Preview at step 0" }).waitFor({ timeout: 1_800_000 });
    console.log(`from the first click to the first preview: ${((Date.now() - began) / 1000).toFixed(0)} s`);
    await page.locator("#train-status").getByText("Learned.").waitFor({ timeout: 3_600_000 });
    const tasks = await page.evaluate(() => window.tasks);
    console.log(`tasks of the page over 50 ms while it learned: ${tasks.map((ms) => `${ms} ms`).join(", ") || "none"}`);
    return timed(await page.evaluate(() => window.steps));
  } finally {
    await place.close();
  }
}

function native() {
  if (!existsSync(ICD)) throw new Error(`${ICD} is not there: SWIFTSHADER must name SwiftShader's driver file`);
  const out = mkdtempSync(join(tmpdir(), "pseudoword-bench-"));
  try {
    const printed = execFileSync(process.env.PSEUDOWORD ?? "pseudoword", [
      "train", "--json", "--device", "gpu", ...peach.slice(0, 2), "--token", "<my-word>", "--init", "apple", "--steps", `${steps}`,
      "--batch-size", "1", "--eval-size", "1", "--preview-every", "0", "--captions", "off", "--out", join(out, "run"),
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
const after = native();
const there = median([...before, ...after]);
console.log(`a step of one picture, medians: native ${median(before).toFixed(2)} s before and ${median(after).toFixed(2)} s after, browser ${here.toFixed(2)} s, ratio ${(here / there).toFixed(2)} (aim: 1.25)`);
