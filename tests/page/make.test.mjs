// The room of pictures: from a prompt to pictures that are compared, kept, looked at, made again and deleted.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { after, before, test } from "node:test";
import { accessible, look, root, start } from "./browser.mjs";
import { played } from "./played.mjs";

let place;

before(async () => (place = await start({ sources: true })));
after(() => place?.close());

const prompt = (page) => page.getByRole("textbox", { name: "Prompt", exact: true });
const field = (page, name) => page.locator("#make").getByLabel(name, { exact: true });
const choices = (page, name) => page.locator("#make").getByLabel(name);
const count = (page, n) => page.locator("#make").getByRole("radio", { name: `${n}`, exact: true }).check({ force: true });

/** Waits until something, by its id or its label, has the focus. */
const focusOn = (page, name) => page.waitForFunction((name) => [document.activeElement.id, document.activeElement.ariaLabel].includes(name), name);

/** The images of the newest set of pictures, when there are `sets` of them and all are whole. */
async function pictures(page, sets) {
  await page.waitForFunction((sets) => document.querySelectorAll(".set").length === sets && !document.querySelector(".set[aria-busy]"), sets, { timeout: 300_000 });
  const images = page.locator(".set").first().getByRole("img");
  await images.first().evaluate((image) => image.scrollIntoView());
  await page.waitForFunction(() => [...document.querySelector(".set").querySelectorAll("img")].every((image) => image.naturalWidth > 0));
  return images.evaluateAll((images) => images.map(({ alt, naturalWidth }) => [alt, naturalWidth]));
}

/** Whatever stands there of the engine's settings. */
const values = (page, ids) => page.evaluate((ids) => ids.map((id) => document.getElementById(id).value), ids);

test("a prompt becomes pictures, and they stay", { timeout: 900_000 }, async () => {
  const { context, open, errors, requests } = await place.visitor();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  let page = await open();
  await asksFor(page);
  await makes(page);
  await knowsWords(page);
  await compares(page);
  await looksLarge(page);
  await stops(page);
  await waits(page);
  // Everything is there on the next visit, and the engine is not.
  requests.length = 0;
  await page.reload();
  await page.locator(".set").first().waitFor();
  assert.deepEqual(requests.filter((url) => /\/pkg\/|models\/mini\//.test(url)), [], "the gallery needs neither engine nor model");
  await keeps(page);
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), "nothing is cut off on a phone");
  await accessible(page, "with a gallery on a phone");
  await look(page, "make-phone");
  await forgets(page);
  assert.deepEqual(requests.filter((url) => !url.startsWith(place.origin) && !/^(data|blob):/.test(url)), [], "everything stays here");
  assert.deepEqual(errors, []);
  await context.close();
});

/** Nothing is disabled before there is a model: what is missing is said, or fetched. */
async function asksFor(page) {
  await page.getByText("What you make appears here").waitFor();
  await page.getByRole("button", { name: "Make", exact: true }).click();
  await page.locator("#make-problem").getByText("Write what the picture should show first.").waitFor();
  await focusOn(page, "prompt");
  await page.getByRole("button", { name: "a cat in 3d style" }).click();
  assert.equal(await prompt(page).inputValue(), "a cat in 3d style");
  await page.locator("#make summary").getByText("Settings").click();
  // What they begin with is there as soon as the engine has said it, without a model.
  await page.waitForFunction(() => document.getElementById("guidance").value === "4" && document.getElementById("sampler").value === "ddim", undefined, { timeout: 60_000 });
  assert.equal(await page.locator("#make-summary").textContent(), "Steps 25 · Seed 0");
  // So is what a prompt says that is no word.
  await prompt(page).fill("a <moon> <lora:x:1>");
  await page.locator("#prompt-info").getByText("<moon> is not one of your words.").waitFor();
  await page.locator("#prompt-info").getByText("“<lora:x:1>” (a LoRA, which this page does not have) is read as plain text").waitFor();
  assert.equal(await page.locator("#prompt-info").getByText("not one of your words").count(), 1);
  await prompt(page).fill("a cat in 3d style");
  await field(page, "Steps").fill("1");
  await field(page, "Size in pixels").fill("8000");
  await prompt(page).press("Enter");
  // The engine's rules come in the page's words; the model was loaded by itself.
  await page.locator("#make-problem").getByText("\u201cSize in pixels\u201d cannot be 8000: it must be at least 1, and at most 4096.").waitFor({ timeout: 300_000 });
  assert.deepEqual(await values(page, ["make-steps", "guidance", "make-seed", "sampler", "negative"]), ["1", "4", "0", "ddim", ""], "defaults are the engine's");
  assert.deepEqual(await page.locator("#sampler option").allTextContents(), ["DDIM", "PNDM", "Euler", "Euler Karras", "Euler ancestral", "Euler ancestral Karras", "DPM++ 2M", "DPM++ 2M Karras"]);
  assert.equal(await page.locator(".set").count(), 0, "what could not be made leaves nothing behind");
  await accessible(page, "with a refused setting");
}

async function makes(page) {
  await field(page, "Size in pixels").fill("");
  // What is becoming of a picture is seen before it is there.
  await field(page, "Steps").fill("4");
  const sketched = page.waitForFunction(() => document.querySelector(".coming .sketch")?.naturalWidth === 64, undefined, { timeout: 120_000 });
  await prompt(page).press("Enter");
  await sketched;
  await pictures(page, 1);
  await page.getByRole("button", { name: "Delete: a cat in 3d style, seed 0" }).click();
  await page.locator("#gallery-dismiss").click();
  await field(page, "Steps").fill("1");
  await count(page, 2);
  const both = Promise.all([page.getByRole("button", { name: "Stop", exact: true }).waitFor(), page.locator(".coming").nth(1).waitFor()]);
  await prompt(page).press("Enter");
  await both;
  assert.deepEqual(await pictures(page, 1), Array(2).fill(["a cat in 3d style", 64]));
  assert.match(await page.locator(".set").textContent(), /Steps 1 · Guidance 4 · DDIM · mini/);
  await page.locator("#announcer").getByText("2 pictures are ready.").waitFor();
  // The focus stays where one types.
  await focusOn(page, "prompt");
  // Once more is not the same once more.
  await count(page, 1);
  await page.getByRole("button", { name: "Vary: a cat in 3d style" }).click();
  await pictures(page, 2);
  await page.locator(".set").first().getByText("seed 2").waitFor();
  await prompt(page).press("Enter");
  await page.locator("#make-notes").getByText("so these go on from seed 3").waitFor();
  await pictures(page, 3);
  await page.locator(".set").first().getByText("seed 3").waitFor();
}

/** What a prompt is, as the engine reads it. */
async function knowsWords(page) {
  await page.evaluate(async (bytes) => {
    const { addFiles } = await import(new URL("www/words/shelf.js", document.baseURI));
    await addFiles([new File([Uint8Array.from(bytes)], "pear.safetensors")]);
  }, [...readFileSync(join(root, "tests/page/fixtures/pear.safetensors"))]);
  await prompt(page).fill("a ");
  await page.getByRole("button", { name: "Put <pear> into the prompt" }).click();
  await focusOn(page, "prompt");
  assert.equal(await prompt(page).inputValue(), "a <pear>");
  await page.locator("#prompt-info").getByText("<pear> 1 vector").waitFor();
  await page.locator("#prompt-count").getByText("2 of 75 tokens").waitFor();
  await prompt(page).fill("a <peer> [red|blue]");
  await page.locator("#prompt-info").getByText("<peer> is not one of your words.").waitFor();
  await page.locator("#prompt-info").getByText("(taking turns) is read as plain text").waitFor();
  await accessible(page, "with an unknown word");
  await look(page, "make-prompt");
  await page.getByRole("button", { name: "Write <pear> in place of <peer>" }).click();
  assert.equal(await prompt(page).inputValue(), "a <pear> [red|blue]");
  await prompt(page).fill(`${"a ".repeat(74)}<pear> bat`);
  await page.locator("#prompt-count").getByText("76 of 150 tokens, 2 stretches").waitFor();
  await prompt(page).fill(`${"a ".repeat(599)}<pear> bat`);
  await page.locator("#prompt-count").getByText("601 of 600 tokens").waitFor();
  await page.locator("#prompt-info").getByText("Too long: “bat” is left out").waitFor();
  await prompt(page).fill(`${"a ".repeat(600)}${"bat ".repeat(900)}`);
  await page.locator("#prompt-info").getByText(`Too long: “${"bat ".repeat(20)}…” is left out`).waitFor();
  // Brackets are weights, or text, as the language has it; a name as other programs write it is the word's.
  await prompt(page).fill("a (embedding:PEAR:1.3)");
  await page.locator("#prompt-info").getByText("<pear> 1 vector").waitFor();
  await page.locator("#prompt-count").getByText("2 of 75 tokens").waitFor();
  await choices(page, "Prompt language").selectOption("plain text");
  await page.locator("#prompt-info").getByText("“(embedding:PEAR:1.3)” (a weight) is read as plain text").waitFor();
  await page.locator("#prompt-count").getByText("8 of 75 tokens").waitFor();
  await choices(page, "Prompt language").selectOption("A1111");
  await page.locator("#prompt-count").getByText("2 of 75 tokens").waitFor();
  // The same of the negative prompt.
  await field(page, "Negative prompt").fill("(<Pear>:1.2), <lora:x:1>");
  await page.locator("#negative-info").getByText("<pear> 1 vector").waitFor();
  await page.locator("#negative-info").getByText("(a LoRA, which this page does not have) is read as plain text").waitFor();
  assert.match(await page.locator("#negative-count").textContent(), /^\d+ of 75 tokens$/);
  await field(page, "Negative prompt").fill("");
  await page.waitForFunction(() => document.getElementById("negative-info").childElementCount === 0);
}

/** The same with the word and without it, one upon the other. */
async function compares(page) {
  await prompt(page).fill("a <pear> on a blue background");
  await field(page, "Show with and without the word").check();
  await field(page, "Seed").fill("7");
  await prompt(page).press("Enter");
  const [without, shown] = await pictures(page, 4);
  assert.deepEqual(shown, ["a <pear> on a blue background", 64]);
  assert.deepEqual(without, ["a on a blue background", 64], "the file does not say what it started from");
  const slider = page.getByRole("slider", { name: "From without to with the word: a <pear> on a blue background" });
  await slider.focus();
  await page.keyboard.press("Home");
  assert.equal(await slider.getAttribute("aria-valuetext"), "100% with the word");
  assert.equal(await page.locator(".pair").evaluate((pair) => pair.style.getPropertyValue("--at")), "0%");
  const box = await slider.boundingBox();
  await page.mouse.click(box.x + box.width * 0.75, box.y + box.height / 2);
  assert.match(await slider.getAttribute("aria-valuetext"), /^2[3-7]% with/);
  await accessible(page, "with a pair");
  await look(page, "make-pair");
  // The word has its picture on the shelf from now on.
  await page.locator("#prompt-words img").waitFor();

  // A picture says what made it, as those of the program do, and goes into the clipboard.
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download: a <pear> on a blue background, seed 7" }).click()]);
  assert.equal(download.suggestedFilename(), "apearonabluebackground-7.png");
  const picture = readFileSync(await download.path()).toString("latin1");
  for (const part of [/Steps: 1, Sampler: DDIM, CFG scale: 4, Seed: 7, Size: 64x64, Model hash: [0-9a-f]{10}, Model: mini, TI hashes: "<pear>: /, /model hash\0/, /sampler\0/]) assert.match(picture, part);
  await page.getByRole("button", { name: "Copy: a <pear> on a blue background, seed 7" }).click();
  await page.locator("#make-status").getByText("The picture is on the clipboard.").waitFor();
  assert.deepEqual(await page.evaluate(async () => (await navigator.clipboard.read())[0].types), ["image/png"]);

  // What has no effect is said, in the page's words; nothing to compare with, too.
  await field(page, "Guidance").fill("1");
  await field(page, "Negative prompt").fill("blur");
  await field(page, "Clip skip").fill("2");
  await choices(page, "Prompt language").selectOption("ComfyUI");
  await choices(page, "Sampler").selectOption("Euler Karras");
  await prompt(page).fill("a cat");
  await field(page, "Negative prompt").press("Enter");
  await pictures(page, 5);
  const notes = await page.locator("#make-notes").textContent();
  for (const part of ["\u201cNegative prompt\u201d has no effect", "nothing to compare with"]) assert.ok(notes.includes(part), notes);
  await field(page, "Guidance").fill("4");
  assert.match(await page.locator(".set").first().textContent(), /Steps 1 · Guidance 1 · Euler Karras · mini · Clip skip 2 · ComfyUI/);
  await field(page, "Negative prompt").fill("");
  await field(page, "Show with and without the word").uncheck();
  await takesUp(page, picture);
}

/** A picture with a text in it, compressed and behind its pixels. */
function saying(keyword, text) {
  const picture = readFileSync(join(root, "examples/peach/noto.png"));
  const body = Buffer.concat([Buffer.from(`zTXt${keyword}\0\0`), deflateSync(text)]);
  const [length, check] = [body.length - 4, crc32(body)].map((number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return bytes;
  });
  return Buffer.concat([picture.subarray(0, -12), length, body, check, picture.subarray(-12)]);
}

/** A picture says how it was made, and the form is as it was then; what was in the form comes back. */
async function takesUp(page, picture) {
  const form = ["prompt", "make-steps", "guidance", "make-seed", "sampler", "negative", "prompt-syntax", "clip-skip"];
  const before = await values(page, form);
  await page.locator("#take").setInputFiles({ name: "pear.png", mimeType: "image/png", buffer: Buffer.from(picture, "latin1") });
  await page.locator("#gallery-notice").getByText("The settings of pear.png (made with mini) are in the form.").waitFor();
  assert.deepEqual(await values(page, form), ["a <pear> on a blue background", "1", "4", "7", "ddim", "", "a1111", "1"]);
  assert.equal(await page.locator("#make-notes").textContent(), "", "all of it can be had here");
  await focusOn(page, "prompt");
  await page.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await values(page, form), before);
  // What it does not say, or says wrongly, is not what was in the form before; lines stay lines.
  const hill = saying("parameters", "a hill\nNegative prompt: blurry\nbad hands\nSteps: 0, CFG scale: nan, Seed: -1, Version: v1.9.4");
  const notes = page.locator("#make-notes");
  await drop(page, "#pictures", "hill.png", hill);
  await page.locator("#gallery-notice").getByText("The settings of hill.png").waitFor();
  assert.deepEqual(await values(page, form), ["a hill", "25", "4", "0", "ddim", "blurry\nbad hands", "a1111", "1"]);
  await notes.getByText("Something that the picture says is not done here.").waitFor();
  // What is said of a picture goes with it.
  await page.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await values(page, form), before);
  assert.equal(await notes.textContent(), "");
  await drop(page, "#pictures", "hill.png", hill);
  await notes.getByText("Something that the picture says is not done here.").waitFor();
  await page.locator("#take").setInputFiles(join(root, "examples/peach/noto.png"));
  await page.locator("#make-problem").getByText("noto.png").waitFor();
  assert.equal(await notes.textContent(), "");
  await page.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await values(page, form), before);
  // One that says it otherwise is not learned from instead.
  await drop(page, "#pictures", "novel.png", saying("Software", "NovelAI"));
  await page.locator("#make-problem").getByText("its settings are in the form of NovelAI, which is not read").waitFor();
  assert.equal(await page.locator("#teach").isVisible(), false);
  assert.deepEqual(await values(page, form), before);
}

/** The large view, by keyboard alone. */
async function looksLarge(page) {
  const opener = page.getByRole("button", { name: "Look at it large: a cat, seed 7" });
  await opener.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "a cat", exact: true }).waitFor();
  await dialog.getByText("Negative promptblur").waitFor();
  for (const said of ["Clip skip2", "Prompt languageComfyUI"]) await dialog.getByText(said).waitFor();
  await focusOn(page, "Close");
  await accessible(page, "with the large view");
  await look(page, "make-large");
  await page.keyboard.press("ArrowLeft");
  await dialog.getByRole("heading", { name: "a cat", exact: true }).waitFor();
  await page.keyboard.press("ArrowRight");
  await dialog.getByRole("heading", { name: "a <pear> on a blue background" }).waitFor();
  // On the slider, arrow keys are its own.
  await dialog.getByRole("slider").press("ArrowRight");
  await dialog.getByRole("heading", { name: "a <pear> on a blue background" }).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  // The focus is where the picture is.
  await focusOn(page, "From without to with the word: a <pear> on a blue background");
  await choices(page, "Prompt language").selectOption("compel");
  await field(page, "Clip skip").fill("1");
  await opener.click();
  await dialog.getByRole("button", { name: "Use again" }).click();
  await dialog.waitFor({ state: "hidden" });
  await focusOn(page, "prompt");
  assert.deepEqual(await values(page, ["prompt", "make-steps", "guidance", "make-seed", "negative", "prompt-syntax", "clip-skip", "sampler"]), ["a cat", "1", "1", "7", "blur", "comfyui", "2", "euler karras"]);
}

async function stops(page) {
  // None of them is done before it is stopped, however long a look at the page takes.
  await field(page, "Steps").fill("900");
  await count(page, 4);
  await page.getByRole("button", { name: "Make", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#make-status").getByText(/^Picture 1 of 4, step \d+ of 900/).waitFor({ timeout: 300_000 });
  await focusOn(page, "make-stop");
  await accessible(page, "making pictures");
  await look(page, "make-making");
  const before = await page.locator(".shot:not(.coming)").count();
  await page.keyboard.press("Enter");
  await page.locator("#make-status").getByText("Stopped.").waitFor({ timeout: 300_000 });
  await focusOn(page, "generate");
  assert.equal(await page.locator(".shot").count(), before, "what was not finished leaves nothing behind");
}

/** While the engine has something else to do, pictures wait for it. */
async function waits(page) {
  await page.evaluate(async () => {
    const { using } = await import(new URL("www/base/studio.js", document.baseURI));
    using("make-problem", () => new Promise((resolve) => (window.release = resolve)), { long: true });
  });
  await field(page, "Steps").fill("1");
  await count(page, 1);
  await prompt(page).fill("a dog");
  await prompt(page).press("Enter");
  await page.locator("#make-status").getByText("The engine is busy: these pictures are made as soon as it is free.").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.equal(await page.locator("#make-status").textContent(), "");
  await prompt(page).press("Enter");
  await page.getByRole("button", { name: "Cancel" }).waitFor();
  await page.evaluate(() => window.release());
  assert.deepEqual(await pictures(page, 6), [["a dog", 64]]);
}

/** What was made on an earlier visit. */
async function keeps(page) {
  // Said once all of them are there.
  await page.locator("#gallery-count").getByText("7 pictures, kept in this browser").waitFor();
  await page.locator(".set h3").nth(2).waitFor();
  const headings = await page.locator(".set h3").allTextContents();
  assert.deepEqual(headings.slice(0, 3), ["a dog", "a cat", "a <pear> on a blue background"]);
  assert.equal(await page.locator(".pair").count(), 1, "pairs are pairs");
  await accessible(page, "with a gallery from before");
  await look(page, "make-gallery");
  // Prompts, too: the newest first.
  await prompt(page).focus();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await prompt(page).inputValue(), "a cat");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.equal(await prompt(page).inputValue(), "");
  await page.getByText("Earlier prompts").click();
  await page.getByRole("button", { name: "a <pear> on a blue background", exact: true }).click();
  assert.equal(await prompt(page).inputValue(), "a <pear> on a blue background");
  await page.getByRole("button", { name: "Forget them" }).click();
  assert.equal(await page.getByText("Earlier prompts").isVisible(), false);
}

async function forgets(page) {
  const first = page.locator(".shot").first();
  await first.getByRole("button", { name: /^Delete: / }).click();
  await focusOn(page, "gallery-undo");
  await page.locator("#gallery-count").getByText("6 pictures").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#gallery-count").getByText("7 pictures").waitFor();
  assert.deepEqual(await pictures(page, 6), [["a dog", 64]]);
  await page.getByRole("button", { name: "Delete all of: a cat in 3d style" }).first().click();
  await page.locator("#gallery-count").getByText("5 pictures").waitFor();
  await page.reload();
  await page.locator("#gallery-count").getByText("5 pictures").waitFor();
  const remove = page.getByRole("button", { name: "Delete all", exact: true });
  await remove.click();
  await accessible(page, "asked whether to delete everything");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#gallery-count").textContent(), "5 pictures, kept in this browser");
  await remove.click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
  await page.getByText("What you make appears here").waitFor();
  await page.reload();
  await page.getByText("What you make appears here").waitFor();
}

/** A file dropped on a part of the page. */
const drop = (page, selector, name, bytes) => page.evaluate(([selector, name, bytes]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}, [selector, name, [...bytes]]);

test("the language of prompts is chosen and remembered; a picture's settings are taken up where they are wanted", { timeout: 120_000 }, async () => {
  const { context, open, errors } = await place.visitor();
  await played(context, { like: { prompt: "(<plum>:1.2) in oil", settings: { steps: 9, seed: 12, guidance: 6, "clip-skip": 2 }, model: "someone/else", embeddings: [{ token: "<plum>", hash: "ab" }], notes: [
    { code: "sampler", parts: { name: "UniPC", used: "DDIM" }, text: "its sampler is not here" }, { code: "vae", parts: {}, text: "it was made with an autoencoder of its own" }] } });
  let page = await open();
  // Before there is an engine, what is certainly no word is not called one.
  await prompt(page).fill("<lora:x:1> <moon>");
  await page.locator("#prompt-info").getByText("<moon> is not one of your words.").waitFor();
  assert.equal(await page.locator("#prompt-info li").count(), 1);
  await page.locator("#make summary").getByText("Settings").click();
  await page.waitForFunction(() => document.getElementById("prompt-syntax").value === "a1111");
  await page.locator("#prompt-info").getByText("(a LoRA, which this page does not have)").waitFor();
  await choices(page, "Prompt language").selectOption("plain text");
  await page.reload();
  await page.locator("#load").click();
  await page.locator("#model-line").getByText("Ready").waitFor();
  await page.locator("#make summary").getByText("Settings").click();
  assert.equal(await choices(page, "Prompt language").inputValue(), "plain", "what was chosen on the last visit");
  await prompt(page).fill("a (cat:1.2) <lora:x:1>");
  await page.locator("#prompt-info").getByText("(a weight) is read as plain text").waitFor();
  await page.locator("#prompt-info").getByText("(a LoRA, which this page does not have)").waitFor();
  await field(page, "Negative prompt").fill("<paech>, blur");
  await page.getByRole("button", { name: "Write <peach> in place of <paech>" }).click();
  assert.equal(await field(page, "Negative prompt").inputValue(), "<peach>, blur");
  await focusOn(page, "negative");
  await page.locator("#negative-info").getByText("<peach> 2 vectors").waitFor();
  await accessible(page, "with prompts in another language");

  // On the pictures' side it is what the form takes up; what it says that cannot be had is said.
  const picture = [...readFileSync(join(root, "examples/peach/noto.png")), ...Buffer.from("a cat\nSteps: 9, Sampler: UniPC")];
  const form = ["prompt", "negative", "make-steps", "make-seed", "guidance", "prompt-syntax", "clip-skip"];
  const before = await values(page, form);
  const taken = ["(<plum>:1.2) in oil", "", "9", "12", "6", "a1111", "2"];
  await drop(page, "#pictures", "plum.png", picture);
  await page.locator("#gallery-notice").getByText("The settings of plum.png (made with someone/else) are in the form.").waitFor();
  assert.deepEqual(await values(page, form), taken);
  for (const said of ["There is no sampler UniPC here: DDIM is chosen instead.", "Something that the picture says is not done here.", "The picture was made with someone/else; mini is loaded."]) {
    await page.locator("#make-notes").getByText(said).waitFor();
  }
  await accessible(page, "with settings that were taken up");
  await look(page, "make-taken");
  await page.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await values(page, form), before);
  assert.deepEqual(await page.locator("#earlier-list li").allTextContents(), [before[0]]);

  // Elsewhere it is asked about; Escape does nothing.
  const dialog = page.getByRole("dialog");
  await drop(page, "#welcome", "plum.png", picture);
  await dialog.getByRole("heading", { name: "plum.png says how it was made" }).waitFor();
  await accessible(page, "asked what a picture is for");
  await look(page, "make-asked");
  await page.keyboard.press("Escape");
  await drop(page, "#welcome", "plum.png", picture);
  await dialog.getByRole("button", { name: "Take settings from a picture" }).click();
  await page.waitForFunction(() => document.getElementById("prompt").value.includes("<plum>"));
  assert.equal(await page.locator("#teach").isVisible(), false);
  await drop(page, "#welcome", "plum.png", picture);
  await dialog.getByRole("button", { name: "Learn from it" }).click();
  await page.locator("#teach-title").waitFor();
  await page.locator("#tiles li").waitFor();
  // In the room of teaching pictures are what is learned from.
  await drop(page, "#teach", "other.png", [...picture, 1]);
  await page.locator("#tiles li").nth(1).waitFor();
  await drop(page, "#pictures", "plum.png", picture);
  await page.locator("#gallery-notice").getByText("The settings of plum.png").waitFor();
  assert.equal(await page.locator("#tiles li").count(), 2);
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), "nothing is cut off on a phone");

  // In the visitor's language.
  await page.evaluate(() => localStorage.setItem("pseudoword-language", '"de"'));
  page.on("dialog", (asked) => asked.accept());
  await page.reload();
  await drop(page, "#pictures", "plum.png", picture);
  await page.locator("#make-notes").getByText("Den Sampler UniPC gibt es hier nicht: dafür DDIM.").waitFor();
  await page.locator("#make-notes").getByText("Das Bild entstand mit dem Wort <plum>, das es hier nicht gibt.").waitFor();
  assert.deepEqual(errors, []);
  await context.close();
});
