// The room of models: what a model takes is seen before it is fetched, downloads stop and resume, what is kept is seen and deleted, and
// browsers that cannot are told what to do.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewSteps, look, peach, root, start, teach } from "./browser.mjs";
import { playedHub } from "./hub.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

test("a model comes from a repository: seen first, stopped, resumed, loaded and deleted", { timeout: 600_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors, requests } = await place.visitor();
  const page = await open(`?hub=${encodeURIComponent(hub.url)}&model=someone/mini`);
  // A link asks, and nothing is fetched for it.
  await page.getByText("This link asks for the model someone/mini.").waitFor();
  assert.deepEqual([hub.asked, requests.filter((url) => /\/pkg\/|worker\.js/.test(url))], [[], []], "nothing before the visitor agrees");
  await accessible(page, "with a link to a model");
  await look(page, "model-link");
  const room = page.locator("#models-room");
  await room.getByRole("button", { name: "Not now" }).first().click();

  // By keyboard: a repository that is none, then one that is.
  await page.getByText("Another model", { exact: true }).focus();
  await page.keyboard.press("Enter");
  const repository = page.getByLabel(/from a repository/);
  await repository.fill("someone/nothing");
  await repository.press("Enter");
  await page.locator("#model-problem").getByText("There is no someone/nothing: is it spelled right?").waitFor();
  await page.locator("#model-problem summary").getByText("Details").click();
  await page.locator("#model-problem").getByText("someone/nothing: the Hub has no such repository: check the spelling").waitFor();
  const folders = await page.evaluate(async () => Array.fromAsync((await (await navigator.storage.getDirectory()).getDirectoryHandle("models")).keys()));
  assert.deepEqual(folders, [], "what was not found leaves nothing behind");
  await accessible(page, "with a problem");
  await context.setOffline(true);
  await repository.fill("someone/mini");
  await repository.press("Enter");
  await page.locator("#model-problem").getByText("This browser has no network.").waitFor();
  await context.setOffline(false);
  await repository.press("Enter");
  await page.locator("#plan").getByText("14 MB in 12 files").waitFor();
  for (const part of ["Time for that", "Free space", "This GPU", "Runs on any graphics card", "There is only full precision"]) assert.match(await page.locator("#plan").textContent(), new RegExp(part));
  assert.ok(!hub.asked.some((path) => path.includes("safetensors")), "the size is said before anything is downloaded");
  assert.equal(await page.evaluate(() => document.activeElement.id), "fetch", "the focus goes to what comes next");
  await accessible(page, "with a plan");
  await look(page, "model-plan");

  // Cut once, gone on by itself; then stopped, and resumed by the visitor.
  await page.keyboard.press("Enter");
  await page.locator("#fetch-text").getByText(/ of 14 MB · .*left · file \d+ of 12/).waitFor({ timeout: 60_000 });
  await page.locator("#engine-status").getByText(/Downloading \d+%/).waitFor();
  await accessible(page, "while a model is downloaded");
  await look(page, "model-download");
  await hub.slow();
  await room.getByRole("button", { name: "Stop" }).click();
  const stopped = room.getByText("Stopped. What was downloaded is kept.");
  await stopped.waitFor({ timeout: 60_000 });
  const colour = (one) => getComputedStyle(one).color;
  assert.equal(await stopped.evaluate(colour), await page.locator("#fetch-text").evaluate(colour), "nothing went wrong");
  // What is here stays in sight, also on the next visit, which asks nobody for that; and a press gets the rest.
  const here = room.getByText(/^[\d.]+ MB of 14 MB here$/);
  await here.waitFor();
  assert.match(await page.locator("#model-card").textContent(), /mini.*by someone.*Download stopped/);
  await everywhere(page, "model-part");
  const before = [hub.asked.length, requests.length];
  await page.reload();
  await here.waitFor();
  assert.equal(hub.asked.length, before[0]);
  assert.deepEqual(requests.slice(before[1]).filter((url) => /\/pkg\/|\/www\/worker\.js/.test(url)), [], "the engine is not started for it");
  // By the list of what is stored, too; put away, it is found there.
  await room.getByRole("button", { name: "Not now" }).click();
  await here.waitFor({ state: "hidden" });
  await page.goto(`${place.origin}/?hub=${encodeURIComponent(hub.url)}`);
  await page.getByText("Storage", { exact: true }).click();
  await here.waitFor();
  await room.getByRole("button", { name: "Load", exact: true }).waitFor();
  // Without a network that is said, and the part stays.
  await context.setOffline(true);
  await room.getByRole("button", { name: "Resume" }).click();
  await page.locator("#model-problem").getByText("This browser has no network.").waitFor({ timeout: 60_000 });
  await context.setOffline(false);
  await room.getByRole("button", { name: "Resume" }).first().click();
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 180_000 });
  const unet = hub.asked.filter((path) => path.includes("unet/diffusion"));
  assert.equal(unet.length, 3, `${unet}`);
  for (const path of unet.slice(1)) assert.match(path, / bytes=[1-9]\d*-$/, "it went on where it was");
  assert.match(await page.locator("#model-card").textContent(), /mini.*by someone.*Ready on /);
  await page.locator("#model-memory").getByText(/\d+ MB/).waitFor();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: place.origin });
  await room.getByRole("button", { name: "Copy a link to it" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${place.origin}/?model=someone/mini`);
  await accessible(page, "with a model");
  await look(page, "model-ready");

  // What is kept, and what deleting it costs.
  const stored = page.getByRole("list", { name: "Stored models" });
  await stored.getByText("in use").waitFor();
  await stored.getByRole("button", { name: "Delete: someone/mini" }).click();
  await stored.getByText(/14 MB would have to be downloaded again. Your words and pictures stay/).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Keep it", "not what deletes");
  await accessible(page, "before something is deleted");
  await look(page, "model-delete");
  await stored.getByRole("button", { name: "Delete", exact: true }).click();
  await stored.getByText("No model is stored.").waitFor();

  for (const width of [320, 390]) {
    await page.setViewportSize({ width, height: 740 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is cut off at ${width} pixels`);
  }
  const foreign = requests.filter((url) => ![place.origin, hub.url].includes(new URL(url).origin) && !/^(data|blob):/.test(url));
  assert.deepEqual(foreign, [], "nobody else is asked anything");
  assert.deepEqual(errors.filter((text) => !/404|ERR_/.test(text)), []);
  await context.close();
});

test("one's own pictures are learned on a model from the Hub: one press, and a refresh in the middle", { timeout: 600_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors } = await place.visitor();
  const page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  await teach(page, peach.slice(0, 2));
  await page.getByLabel("Start from").fill("apple");
  await fewSteps(page, 2);
  const train = page.getByRole("button", { name: "Use Stable Diffusion" });
  await train.click();
  await page.locator("#photos-plan #plan").getByText("14 MB in 12 files").waitFor({ timeout: 60_000 });
  assert.ok(!hub.asked.some((path) => path.includes("safetensors")), "nothing is downloaded before the visitor agrees");
  await page.waitForFunction(() => document.activeElement.id === "fetch");
  await page.keyboard.press("Enter");
  await page.locator("#train-status").getByText(/ of 14 MB · /).waitFor({ timeout: 60_000 });
  await hub.slow();
  await page.getByRole("button", { name: "Stop the download" }).click();
  await page.locator("#learn-problem").getByText("Stopped. What was downloaded is kept.").waitFor({ timeout: 60_000 });
  await page.reload();
  await page.getByText("From your last visit").waitFor();
  await train.click();
  await page.locator("#plan").getByText("Already here").waitFor({ timeout: 60_000 });
  await page.getByRole("button", { name: "Go on downloading, then learn it" }).click();
  await page.getByRole("heading", { name: "<my-word> has been learned" }).waitFor({ timeout: 120_000 }).catch(async ({ message }) => {
    const seen = await Promise.all(["#train-status", "#learn-problem", "#model-line"].map((place) => page.locator(place).textContent()));
    assert.fail(`${message}\nThe page: ${seen.join(" | ")}\nAsked last: ${hub.asked.slice(-5).join(" ")}`);
  });
  assert.match(await page.locator("#model-card").textContent(), /stable-diffusion-v1-5.*Ready on /);
  assert.deepEqual(errors.filter((text) => !/404|ERR_/.test(text)), []);
  await context.close();
});

test("what was begun of another version is not taken for this one", { timeout: 300_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open } = await place.visitor();
  const page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  const plan = async () => {
    await page.getByText("Another model", { exact: true }).click();
    await page.getByLabel(/from a repository/).fill("someone/mini");
    await page.getByLabel(/from a repository/).press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "fetch");
    return page.locator("#plan-facts").textContent();
  };
  await plan();
  await page.locator("#fetch").click();
  await hub.slow();
  await page.locator("#fetch-stop").click();
  await page.locator("#model-problem").getByText("Stopped. What was downloaded is kept.").waitFor({ timeout: 60_000 });
  await page.reload();
  assert.match(await plan(), /Already here/);
  await page.evaluate(async () => {
    const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
    const [folder] = await Array.fromAsync(models.values());
    const handle = await folder.getFileHandle("record.json");
    const record = JSON.parse(await (await handle.getFile()).text());
    const file = await handle.createWritable();
    await file.write(JSON.stringify({ ...record, version: "another" }));
    await file.close();
  });
  await page.reload();
  const facts = await plan();
  assert.match(facts, /14 MB in 12 files/);
  assert.doesNotMatch(facts, /Already here/);
  await context.close();
});

/** Plays a browser: `gpu` is what stands for navigator.gpu in pages, `worker` what the Worker that asks for the adapter does first. */
async function played({ gpu, worker, agent }) {
  const context = await place.browser.newContext(agent ? { userAgent: agent } : {});
  if (gpu === false) await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
  if (worker) {
    await context.route("**/www/start/adapter.js", async (route) => {
      const own = await (await route.fetch()).text();
      await route.fulfill({ contentType: "text/javascript", body: `${worker}\n${own}` });
    });
  }
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(`${place.origin}/`);
  return { context, page, requests };
}

const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
const LINUX = "Mozilla/5.0 (X11; Linux x86_64";
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64";
const KIT = "AppleWebKit/537.36 (KHTML, like Gecko)";
const browsers = [
  ["Chrome on Linux without WebGPU", { gpu: false, agent: `${LINUX}) ${KIT} Chrome/150.0.0.0 Safari/537.36` }, /no WebGPU\. On Linux, Chrome keeps it off.*enable-unsafe-webgpu/],
  ["an old Edge", { gpu: false, agent: `${WINDOWS}) ${KIT} Chrome/110.0.0.0 Safari/537.36 Edg/110.0.0.0` }, /Update Edge: it has WebGPU since version 113/],
  ["Firefox on Linux", { gpu: false, agent: `${LINUX}; rv:140.0) Gecko/20100101 Firefox/140.0` }, /Firefox has it on Windows and on Macs.*dom\.webgpu\.enabled/],
  ["Safari before 26", { gpu: false, agent: `${MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15` }, /Safari has it since version 26\. Update macOS/],
  ["an iPhone", { gpu: false, agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0 Mobile/15E148 Safari/604.1" }, /Update iOS to version 26/],
  ["one whose Workers have no WebGPU", { worker: "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { value: undefined });", agent: `${WINDOWS}; rv:141.0) Gecko/20100101 Firefox/141.0` }, /to pages but not to their Workers.*Update Firefox/],
  ["one without an adapter", { worker: "GPU.prototype.requestAdapter = async () => null;" }, /found no graphics card.*Vulkan driver.*chrome:\/\/gpu/],
  ["an adapter that lacks something", { worker: "Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBuffersPerShaderStage', { get: () => 4 });" }, /lacks what the engine needs: maxStorageBuffersPerShaderStage 4 \(8\)\. Update/],
];

for (const [name, how, words] of browsers) {
  test(`what is missing is found before anything is fetched, and said: ${name}`, { timeout: 60_000 }, async () => {
    const { context, page, requests } = await played(how);
    await page.locator("#load").click();
    const said = page.locator("#model-problem").getByText(words);
    await said.waitFor({ timeout: 20_000 });
    assert.deepEqual(requests.filter((url) => /\/pkg\/|\/models\/mini\//.test(url)), []);
    await accessible(page, name);
    await context.close();
  });
}

test("a browser whose pages are not secure is told so", { timeout: 60_000 }, async () => {
  const context = await place.browser.newContext();
  await context.addInitScript(() => Object.defineProperty(globalThis, "isSecureContext", { value: false }));
  const page = await context.newPage();
  await page.goto(`${place.origin}/`);
  await page.locator("#load").click();
  await page.locator("#model-problem").getByText(/plain http address.*https:/).waitFor();
  await context.close();
});

test("an address of the Hub that is none, and a browser that remembers nothing, leave a page that works", { timeout: 120_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  let page = await open("?hub=garbage&model=a/b&concept=c/d");
  // Said at once, with who is asked in its place.
  await page.getByText(/the word c\/d\..* from huggingface\.co/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByText(/the model a\/b\..* asks huggingface\.co only/).waitFor();
  const refused = page.locator("#model-problem");
  await refused.getByText("“garbage” is not the address of a mirror, which begins with https://, so it is not used.").waitFor();
  // And it can be mended where it is shown.
  await page.getByText("Precision and mirror").click();
  const hub = page.getByLabel("Address of a mirror");
  await hub.fill("rubbish");
  await hub.press("Tab");
  await refused.getByText("“rubbish” is not the address of a mirror").waitFor();
  assert.match(page.url(), /hub=garbage/);
  await hub.fill("https://hub.example");
  await hub.press("Tab");
  await page.waitForURL(/hub=https/);
  assert.equal(await page.locator("#model-problem").textContent(), "");
  await page.close();
  await context.addInitScript(() => Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } }));
  page = await open();
  await page.getByRole("heading", { name: "A word for what you cannot describe" }).waitFor();
  await page.getByRole("button", { name: "Light or dark" }).click();
  await page.locator("#example-note").getByText(/Takes about .* plus a single download of 8 MB/).waitFor({ timeout: 60_000 });
  // Half of the small model is not the model, and another version is not this one.
  const own = createHash("sha256").update(readFileSync(join(root, "models/mini/manifest.json"))).digest("hex");
  for (const [whole, version, text] of [[false, own, "plus a single download of 8 MB"], [true, own, "the model is here already"], [true, "another", "plus a single download of 8 MB"]]) {
    await page.evaluate(async ([whole, version]) => {
      const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models", { create: true });
      const file = await (await (await models.getDirectoryHandle("mini-played", { create: true })).getFileHandle("record.json", { create: true })).createWritable();
      await file.write(JSON.stringify({ name: "mini", whole, version }));
      await file.close();
    }, [whole, version]);
    await page.reload();
    await page.locator("#example-note").getByText(text).waitFor({ timeout: 60_000 });
  }
  assert.deepEqual(errors, []);
  await context.close();
});
