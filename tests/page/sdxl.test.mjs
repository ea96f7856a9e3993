// SDXL on the page: what it takes is seen before it is fetched; on a tiny one with random weights, words for two text encoders are learned,
// given away, taken in and used, and words of other families refused.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, fewSteps, hooked, look, peach, ready, root, start, teach, tensor } from "./browser.mjs";
import { playedHub, SINGLE } from "./hub.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

const XL = join(root, "tests/fixtures/tiny-sdxl");
const PAIR = ["learned_embeds.safetensors", "learned_embeds_2.safetensors"].map((name) => join(root, "tests/fixtures/words-sdxl", name));
const PEAR = join(root, "tests/page/fixtures/pear.safetensors");

/** The beginning of a safetensors file with tensors `[[name, shape]]` of numbers of so many bytes, and how many bytes follow. */
function head(tensors, dtype, bytes) {
  let end = 0;
  const header = JSON.stringify(Object.fromEntries(tensors.map(([name, shape]) => [name, { dtype, shape, data_offsets: [end, (end += bytes * shape.reduce((a, b) => a * b, 1))] }])));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return [Buffer.concat([length, Buffer.from(header)]), end];
}

/** A file of vectors. */
function vectors(...tensors) {
  const [begin, bytes] = head(tensors, "F32", 4);
  return Buffer.concat([begin, Buffer.from(new Float32Array(bytes / 4).fill(0.02).buffer)]);
}

/** A word for Stable Diffusion 1.x. */
const fox = () => vectors(["<fox>", [1, 768]]);

/** A file with the names and shapes of a kind of model, and nothing in it. */
function hollow(folder, kind) {
  const { tensors } = JSON.parse(readFileSync(join(root, `tests/fixtures/checkpoint-${kind}.json`)));
  const [begin, bytes] = head(tensors.map(({ name, shape }) => [name, shape]), "F16", 2);
  const path = join(folder, `${kind}.safetensors`);
  writeFileSync(path, begin);
  truncateSync(path, begin.length + bytes);
  return path;
}

/** An adapter of hardware, as far as it says itself. */
const HARDWARE = "Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => ({ vendor: 'played', architecture: 'card', isFallbackAdapter: false }) });";

/** A browser with a graphics card. */
async function withCard(context) {
  await context.addInitScript(HARDWARE);
  await context.route("**/www/start/adapter.js", async (route) => {
    await route.fulfill({ contentType: "text/javascript", body: `${HARDWARE}\n${await (await route.fetch()).text()}` });
  });
}

test("what SDXL takes is seen before anything of it is fetched", { timeout: 120_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors } = await place.visitor();
  await withCard(context);
  const page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  const [plan, xl] = [page.locator("#plan"), "stabilityai/stable-diffusion-xl-base-1.0"];
  // By the paces that a run was learned at: months, and minutes.
  const lookUp = async (pace) => {
    await page.evaluate(([pace, ...names]) => localStorage.setItem("pseudoword-pace", JSON.stringify(Object.fromEntries(names.map((name) => [name, pace])))), [pace, xl, `${xl}/${SINGLE}`]);
    await page.getByText("Another model", { exact: true }).click();
    await page.getByRole("button", { name: "stable-diffusion-xl-base-1.0" }).click();
    await plan.getByText(/^6\.94 GB in \d+ files$/).waitFor({ timeout: 60_000 });
  };
  await lookUp(10_000);
  await plan.getByText(/^Learning a word with SDXL would take about 185 days here\. What works instead: Stable Diffusion 1\.5; a batch size of 1/).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "dismiss");
  assert.equal(await plan.locator("button.primary").count(), 0, "what is hopeless is not proposed");
  await page.keyboard.press("Enter");
  await lookUp(0.5);
  assert.equal(await page.evaluate(() => document.activeElement.id), "fetch");
  const said = await plan.textContent();
  for (const part of ["SDXL, for pictures of 1024 pixels", "about 3.54 GB", "played card", /with about 4\.41 GB free you can teach it words\./]) assert.match(said, new RegExp(part));
  // As it comes it takes more.
  const eight = plan.getByLabel(/Keep it in 8 bits: about 3\.76 GB instead of 6\.94 GB/);
  await eight.uncheck();
  await plan.getByText(/with about 7\.49 GB free you can teach it words\./).waitFor();
  assert.match(await plan.textContent(), /about 6\.62 GB/);
  assert.deepEqual(hub.asked.filter((path) => path.includes("/resolve/")), [], "nothing is fetched");
  await everywhere(page, "sdxl-plan");
  await plan.getByLabel(/Half precision/).uncheck();
  await plan.getByText(/^13\.88 GB in \d+ files$/).waitFor({ timeout: 60_000 });
  assert.match(await plan.textContent(), /about 6\.62 GB/, "the GPU holds halves of either");
  // A single file, whose halves are not halved again; and who wants four samples at a time is told what that takes.
  await page.locator("#batch").evaluate((field) => (field.value = 4));
  await page.getByText("Another model", { exact: true }).click();
  await page.getByLabel(/from a repository/).fill(`stabilityai/stable-diffusion-xl-base-1.0/${SINGLE}`);
  await page.getByRole("button", { name: "Look it up" }).last().click();
  await plan.getByText("6.94 GB in one file").waitFor({ timeout: 60_000 });
  // What its header says is exact.
  await plan.getByLabel(/Keep it in 8 bits: about 3\.77 GB instead of 6\.94 GB/).uncheck();
  await plan.getByText(/with about 10\.13 GB free/).waitFor();
  assert.match(await plan.textContent(), /SDXL.*about 6\.65 GB.*with about 10\.13 GB free .* or with 7\.52 GB and a batch size of 1\./s);
  assert.ok(await plan.getByLabel(/Half precision/).isHidden());
  assert.deepEqual(errors, []);
  await context.close();
});

/** The gigabytes that learning takes by a text: with the usual settings, and where that is less, with one sample at a time. */
const needs = (text) => /with about ([\d.]+) GB free(?:.* or with ([\d.]+) GB and a batch size of 1)?/.exec(text)?.slice(1).filter(Boolean).map(Number);

test("what learning takes is said of a download as the engine says it of files", { timeout: 120_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const folder = mkdtempSync(join(tmpdir(), "pseudoword-hollow-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [away, here] = [await place.visitor(), await place.visitor()];
  for (const { context } of [away, here]) await withCard(context);
  // The engine waits for its GPU for ever.
  await hooked(here.context, "navigator.gpu.requestAdapter = () => new Promise(() => {});");
  for (const [kind, repo, said] of [["sd1", "someone/sd1", /^Stable Diffusion 1\.x.* 512 pixels\. Runs here if /], ["sd2", "someone/sd2", /^Stable Diffusion 2\.x.* 768 pixels\. Runs here if /], ["sdxl", "stabilityai/stable-diffusion-xl-base-1.0", /^SDXL.* 1024 pixels\. Runs here if .* you can teach it words\.$/]]) {
    let page = await away.open(`?hub=${encodeURIComponent(hub.url)}`);
    // A pace that was learned at.
    await page.evaluate((repo) => localStorage.setItem("pseudoword-pace", JSON.stringify({ [repo]: 0.5 })), repo);
    await page.getByText("Another model", { exact: true }).click();
    await page.getByLabel(/from a repository/).fill(repo);
    await page.keyboard.press("Enter");
    const verdict = page.locator("#plan-verdict");
    await verdict.getByText(/with about/).waitFor({ timeout: 60_000 });
    const inEight = needs(await verdict.textContent());
    // As it comes: so the engine takes a file of this computer.
    await page.locator("#eight").uncheck();
    await page.waitForFunction((least) => !document.getElementById("plan-verdict").textContent.includes(`with about ${least} GB`), inEight[0].toFixed(2));
    const foretold = needs(await verdict.textContent());
    await page.close();

    page = await here.open();
    await page.locator("#checkpoint").setInputFiles(hollow(folder, kind));
    const family = page.locator("#model-family");
    await family.getByText(said).waitFor({ timeout: 60_000 });
    assert.equal(await page.locator("#model-problem").textContent(), "");
    const counted = needs(await family.textContent());
    await page.close();
    console.log(`${kind}: ${foretold.join(" and ")} GB, by the engine ${counted.join(" and ")}; in eight bits ${inEight.join(" and ")}`);
    assert.equal(foretold.length, counted.length, kind);
    for (const [i, gigabytes] of foretold.entries()) assert.ok(Math.abs(gigabytes / counted[i] - 1) < 0.03, `${kind}: ${foretold}, and ${counted} by the engine`);
    assert.ok(inEight.every((gigabytes, i) => gigabytes < foretold[i] - 0.8), `${kind}: ${inEight} in eight bits, ${foretold} as it comes`);
  }
  for (const { context, errors } of [away, here]) {
    assert.deepEqual(errors, []);
    await context.close();
  }
});

/** Saves the downloads of a button: `{name: bytes}`. */
async function downloads(page, button, count) {
  const found = [];
  const all = new Promise((resolve) => page.on("download", function heard(download) {
    if (found.push(download) < count) return;
    page.off("download", heard);
    resolve();
  }));
  await button.click();
  await all;
  return Object.fromEntries(await Promise.all(found.map(async (download) => [download.suggestedFilename(), readFileSync(await download.path())])));
}

test("words for both text encoders are learned, given away, taken in and used; others are refused", { timeout: 600_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  const page = await open();
  // Before there is a model: one word in two files, the second of them first; two words in files that are only called so; and two in a
  // file whose names stand beside it.
  const file = (name, buffer) => ({ name, mimeType: "", buffer });
  await page.locator("#word-files").setInputFiles([...PAIR.toReversed(), PEAR].map((path) => file(basename(path), readFileSync(path))).concat(
    file("pear_2.safetensors", fox()),
    file("special_params.json", Buffer.from(JSON.stringify({ "<both>": "<s0><s2>", "<one>": "<s1>" }))),
    file("embeddings.pti", vectors(["text_encoders_0", [3, 24]], ["text_encoders_1", [3, 40]])),
  ));
  const words = page.locator("#words > li");
  await words.nth(4).waitFor({ timeout: 60_000 });
  await page.locator("#folder").setInputFiles(XL);
  await ready(page);
  assert.deepEqual((await words.locator("code").allTextContents()).sort(), ["<both>", "<fox>", "<one>", "<pear>", "<thing>"], "two files are one word");
  assert.match(await page.locator("#model-card").textContent(), new RegExp(`${basename(XL)}.*two text encoders · 64 pixels`));
  for (const name of ["GPU memory", "GPU memory while learning"]) assert.match(await page.locator("#model-facts div").filter({ hasText: name }).last().textContent(), /\d [kM]B/);

  // Words for other families, each with the model's own.
  const details = page.locator("#word-details");
  for (const [token, family] of [["<pear>", "mini model"], ["<fox>", "Stable Diffusion 1.x"]]) {
    await page.locator(`#words [data-token='${token}'].unusable .word-open`).click();
    const reason = await details.getByText(/^This word was learned for /).textContent();
    for (const part of [family, "two text encoders"]) assert.ok(reason.includes(part), reason);
    await page.keyboard.press("Escape");
  }
  assert.equal(await page.locator(".unusable").count(), 2);

  await teach(page, peach.slice(0, 2));
  await page.getByLabel("Start from").fill("apple");
  await fewSteps(page, 2);
  await page.getByLabel("What stands for the whole prompt").first().selectOption("end");
  await page.getByRole("button", { name: "Learn it" }).click();
  await page.getByRole("heading", { name: "<my-word> has been learned" }).waitFor({ timeout: 120_000 });
  assert.equal(await page.locator("#run-problem").textContent(), "");
  await everywhere(page, "sdxl-learned");

  // As one file and as a pair, with the same vectors.
  const given = page.locator("#downloads");
  const [one] = Object.entries(await downloads(page, given.getByRole("button", { name: "A1111, ComfyUI, kohya: download <my-word>" }), 1));
  assert.equal(one[0], "my-word.safetensors");
  const pair = await downloads(page, given.getByRole("button", { name: "diffusers (two files): download <my-word>" }), 2);
  assert.deepEqual(Object.keys(pair).sort(), ["my-word.safetensors", "my-word_2.safetensors"]);
  for (const [file, encoder, width] of [["my-word.safetensors", "clip_l", 24], ["my-word_2.safetensors", "clip_g", 40]]) {
    const vectors = tensor(one[1], encoder);
    assert.equal(vectors.length % width, 0);
    assert.deepEqual(tensor(pair[file], "<my-word>"), vectors, encoder);
  }
  assert.equal(await given.getByRole("button").count(), 2, "no format that cannot hold both");

  await page.locator("#words [data-token='<my-word>'] .word-open").click();
  await details.locator(".nearest ul").nth(1).waitFor();
  assert.match(await details.textContent(), /\(24 \+ 40\).*Closest to.*first text encoder.*For the second/s);
  await accessible(page, "with a word for two text encoders");
  await look(page, "sdxl-word");
  await page.keyboard.press("Escape");

  // A picture that is no square, with what only such models have.
  await page.locator("#prompt").fill("a <my-word>");
  await page.locator("#make details").last().locator("summary").click();
  const make = page.locator("#make");
  await make.getByLabel("Steps").fill("2");
  await make.getByLabel("Size in pixels").fill("48 x 32");
  await make.getByLabel("Without a negative prompt").selectOption("encoded");
  await make.getByText("Clip skip is only for Stable Diffusion 1.x").waitFor();
  assert.equal(await make.getByLabel("Clip skip", { exact: true }).isVisible(), false);
  await page.setViewportSize({ width: 320, height: 740 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), "nothing is cut off on a phone");
  await accessible(page, "with SDXL's settings");
  await look(page, "sdxl-settings");
  await page.setViewportSize({ width: 1000, height: 900 });
  await page.locator("#make").getByRole("radio", { name: "1", exact: true }).check({ force: true });
  await page.locator("#generate").click();
  const picture = page.locator(".set img").first();
  await page.waitForFunction(() => document.querySelector(".set:not([aria-busy]) img")?.naturalWidth > 0, undefined, { timeout: 120_000 });
  assert.deepEqual(await picture.evaluate(({ naturalWidth, naturalHeight }) => [naturalWidth, naturalHeight]), [48, 32]);
  await page.getByText(/48 x 32/).first().waitFor();
  assert.equal(await page.locator("#make-problem").textContent(), "");

  // The other way round: another model takes the one and not the others, and has no settings of theirs.
  await page.locator("#folder").setInputFiles(join(root, "models/mini"));
  await page.locator("#model-card").getByText("Comes with this page").waitFor({ timeout: 120_000 });
  await page.locator("#words [data-token='<my-word>'].unusable .word-open").click({ timeout: 60_000 });
  await details.getByText(/This word was learned for .*two text encoders.*mini model/).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".unusable").count(), 5);
  assert.equal(await page.locator("[data-where=two], [data-where=noLayers]").filter({ visible: true }).count(), 0);
  assert.deepEqual(errors, []);
  await context.close();
});
