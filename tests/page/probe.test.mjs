// What the page says of a GPU before anything is learned on it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { peach, start, teach } from "./browser.mjs";

let place;
before(async () => (place = await start({ sources: true })));
after(() => place.close());

const probed = (page) => page.evaluate(async () => (await import("./www/start/probe.js")).probe());

test("what learning takes is guessed without fetching anything, then known from what was learned", async () => {
  const { open, requests, errors } = await place.visitor();
  const page = await open();
  await page.waitForLoadState("networkidle");
  const before = requests.length;
  const guessed = await probed(page);
  assert.deepEqual(requests.slice(before).filter((address) => !address.endsWith("/probe.js")), []);
  assert.equal(guessed.software, true, "SwiftShader");
  assert.equal(guessed.gpu, undefined, "which nobody would call a graphics card");
  // A machine that is busy with other tests may tell nothing.
  if (guessed.shaky) assert.deepEqual([guessed.gflops, guessed.seconds], [undefined, undefined]);
  else assert.ok(guessed.gflops > 0.01 && guessed.gflops < 1000 && guessed.seconds > 30, JSON.stringify(guessed));

  await page.evaluate(async () => (await import("./www/start/probe.js")).remember(0.5));
  const known = await probed(page);
  assert.deepEqual([known.sample, known.gflops], [0.5, undefined]);
  // 300 steps of 4 samples, and what comes between them.
  assert.ok(known.seconds >= 600 && known.seconds < 900, `${known.seconds}`);

  // What others left there, or half of it.
  await page.evaluate(() => localStorage.setItem("pseudoword:speed", "{"));
  const anew = await probed(page);
  assert.ok(anew.shaky || anew.gflops > 0.01, JSON.stringify(anew));
  assert.deepEqual(errors, []);
});

test("of several tries the quickest counts, and where they differ wildly nothing is said", async () => {
  const { context, open } = await place.visitor();
  const page = await open();
  const told = await page.evaluate(async () => {
    const { settled } = await import("./www/start/probe.js");
    return [[4, 4.2, 4.1], [40, 4, 4.5, 9, 5], [4, 100, 80, 12, 300], [7]].map((tries) => settled(tries));
  });
  assert.deepEqual(told, [{ ms: 4, steady: true }, { ms: 4, steady: true }, { ms: 4, steady: false }, { ms: 7, steady: true }]);
  await page.close();
  // A computer that is busy with something else: each try takes as long as that lets it.
  await context.addInitScript(() => {
    let turn = 0;
    GPUQueue.prototype.onSubmittedWorkDone = () => new Promise((resolve) => setTimeout(resolve, [1, 90, 30, 200][turn++ % 4]));
  });
  const busy = await open();
  await busy.locator("#example-note").getByText(/^Takes a few minutes to an hour: this computer is busy/).waitFor();
  assert.equal(await busy.evaluate(async () => (await import("./www/start/probe.js")).paceOfLarge("someone/large")), undefined);
  await context.close();
});

test("a step on a large model is guessed by products like its own, then known from what was learned", async () => {
  const { open, errors } = await place.visitor();
  const page = await open();
  const [guessed, large, known] = await page.evaluate(async () => {
    const { keepPace, LARGE, paceOfLarge, speed } = await import("./www/start/probe.js");
    const guessed = (await paceOfLarge("someone/large")) ?? { measured: false, seconds: 1000 };
    // What only a graphics card is asked runs here, too.
    const large = await speed(await navigator.gpu.requestAdapter(), LARGE);
    keepPace("someone/large", 0.7);
    return [guessed, large, await paceOfLarge("someone/large")];
  });
  assert.equal(guessed.measured, false);
  // 2800 billion operations at some billions a second.
  assert.ok(guessed.seconds > 10 && guessed.seconds < 1e6, `${guessed.seconds}`);
  assert.ok(large.gflops > 0.01 && large.gflops < 1000, JSON.stringify(large));
  assert.deepEqual(known, { seconds: 0.7, measured: true });
  assert.deepEqual(errors, []);
});

test("more work takes longer, and nothing is promised of a GPU that nobody knows", async () => {
  const { open } = await place.visitor();
  const page = await open();
  const [few, many, between, untried, tried, fast, card, unknown, tidy] = await page.evaluate(async () => {
    const { secondsFor, rounded } = await import("./www/start/probe.js");
    const slow = { gflops: 2, software: true };
    return [
      secondsFor({ steps: 10, batch: 1 }, slow), secondsFor({ steps: 100, batch: 4 }, slow),
      secondsFor({ steps: 100, batch: 4, evaluations: 5, previews: 2 }, slow),
      secondsFor({ steps: 49, batch: 4 }, slow), secondsFor({ steps: 50, batch: 4 }, slow),
      secondsFor({ steps: 100, batch: 4 }, { gflops: 5000, software: false }),
      secondsFor({ steps: 300, batch: 4, evaluations: 13, previews: 13, previewSteps: 8 }, { gflops: 129, software: false }),
      secondsFor({ steps: 1, batch: 1 }, { software: false }),
      [3.4, 34, 341, 742, 3410].map(rounded),
    ];
  });
  assert.ok(few < many && many < between, `${few} ${many} ${between}`);
  // From 50 steps on the word is tried, too, which takes as long as 60 steps or so.
  assert.ok(tried / untried > 1.9 && tried / untried < 2.4, `${untried} ${tried}`);
  // However fast a GPU is, a browser has to hand it every launch.
  assert.ok(fast > 1 && fast < 30, `${fast}`);
  // An H100 took 20 (benches/README.md); its first trial said 129 GFLOP/s.
  assert.ok(card > 16 && card < 24, `${card}`);
  assert.equal(unknown, undefined);
  assert.deepEqual(tidy, [3, 35, 330, 720, 3300]);
});

test("on a graphics card the model for photos is the first way to learn them, on software the small one", async () => {
  for (const [card, foremost] of [[false, "train"], [true, "train-photos"]]) {
    const { context, open, errors } = await place.visitor();
    if (card) {
      await context.addInitScript(() => {
        const info = { vendor: "nvidia", architecture: "hopper", device: "", description: "", isFallbackAdapter: false };
        Object.defineProperty(GPUAdapter.prototype, "info", { get: () => info });
      });
    }
    const page = await open();
    await teach(page, peach.slice(0, 1));
    // Until the GPU was looked at it is the small one.
    await page.locator(`#${foremost}.primary`).waitFor({ timeout: 20_000 });
    assert.equal(await page.locator("#learn button.large.primary").count(), 1);
    assert.deepEqual(errors, []);
    await context.close();
  }
});
