// The room of words: they come and are looked at before there is a model, are used once there is one, and nothing is lost by one click.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, everywhere, filled, look, native, root, start, tensor } from "./browser.mjs";
import { playedHub } from "./hub.mjs";

let place;

before(async () => (place = await start({ sources: true })));
after(() => place?.close());

const PEAR = join(root, "tests/page/fixtures/pear.safetensors");

/** Saves a download. */
async function downloaded(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return { name: download.suggestedFilename(), path: await download.path(), bytes: readFileSync(await download.path()) };
}

/** Opens the details of a word. */
async function details(page, token) {
  await page.locator(`#words [data-token="${token}"] .word-open`).click();
  return page.locator("#word-details");
}

test("words are kept, looked at, used, renamed, given away, removed and put back", { timeout: 400_000 }, async () => {
  const { context, open, errors, requests } = await place.visitor();
  let page = await open();
  await page.getByText("Words that you teach or import appear here").waitFor();
  assert.deepEqual(requests.filter((url) => /\/pkg\/|\/models\/mini\/.*(json|safetensors)/.test(url)), [], "the shelf needs no engine");
  await accessible(page, "with an empty shelf");

  // Before there is a model: one for the mini model, one for Stable Diffusion, and something that is no word.
  await page.getByRole("button", { name: "+ Import" }).click();
  await accessible(page, "where words come from");
  await page.getByLabel("Choose files…").setInputFiles([PEAR, join(root, "tests/formats/fixtures/diffusers.bin"), join(root, "README.md")]);
  await page.locator("#words-problem").getByText(/README\.md/).waitFor({ timeout: 60_000 });
  const words = page.getByRole("list", { name: "Your words" });
  const tokens = () => words.locator("code").allTextContents();
  assert.equal((await tokens()).length, 2);
  assert.ok((await tokens()).includes("<pear>"), `${await tokens()}`);
  const [other] = (await tokens()).filter((token) => token !== "<pear>");
  assert.equal(await page.evaluate(() => document.activeElement.closest("li")?.dataset.token), other, "the focus goes to what came");
  assert.equal(await page.locator(".unusable").count(), 0, "no model has refused it yet");
  let shown = await details(page, "<pear>");
  assert.match(await shown.textContent(), /pseudoword's mini model.*Strength/);
  await accessible(page, "with a word's details");
  // In every format that there is, before there is a model and for words of any.
  const diffusers = page.locator("#word-details").getByRole("button", { name: /^diffusers.*: download/ }).first();
  const early = await downloaded(page, diffusers);
  assert.deepEqual(tensor(early.bytes, "<pear>"), tensor(readFileSync(PEAR), "<pear>"));
  await page.keyboard.press("Escape");
  await details(page, other);
  const foreign = await downloaded(page, diffusers);
  assert.match(native(["inspect", "--json", foreign.path]).toString(), /"token":"<cat-toy>"/);
  await page.keyboard.press("Escape");
  // Twice the same is once.
  await page.locator("#word-files").setInputFiles(PEAR);
  await page.waitForFunction(async () => !(await import("./www/base/studio.js")).studio.busy);
  assert.equal((await tokens()).length, 2);
  await page.close();

  // The next visit: they are there before the engine is.
  requests.length = 0;
  page = await open();
  await page.locator("#words [data-token='<pear>']").waitFor();
  assert.deepEqual(requests.filter((url) => /\/pkg\/|worker\.js/.test(url)), []);
  shown = await details(page, other);
  await shown.getByRole("button", { name: /original file/ }).waitFor();
  await shown.getByRole("button", { name: "Other formats" }).click();
  await shown.getByRole("button", { name: /^A1111.*: download/ }).waitFor({ timeout: 60_000 });
  await page.keyboard.press("Escape");
  await page.locator("#load").click();
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 180_000 });
  await page.locator(".unusable").waitFor();
  shown = await details(page, other);
  await shown.getByText(/This word was learned for an unknown kind of model \(32 wide\); this model is pseudoword's mini model \(128 wide\)/).waitFor();
  assert.equal(await shown.getByRole("button", { name: "Use in the prompt" }).count(), 0);
  const came = await downloaded(page, shown.getByRole("button", { name: /The original file/ }));
  assert.deepEqual(came.bytes, readFileSync(join(root, "tests/formats/fixtures/diffusers.bin")));
  await accessible(page, "with a word that cannot be used");
  await look(page, "word-refused");
  await page.keyboard.press("Escape");

  // What it is beside the vocabulary; other programs' files; another name.
  shown = await details(page, "<pear>");
  await shown.locator(".nearest li").nth(4).waitFor();
  assert.match(await shown.textContent(), /like ordinary words \(\d\.\d+\).*Closest to\w/s);
  await look(page, "word-details");
  const formats = await page.evaluate(async () => (await import("./www/base/settings.js")).formats({}));
  const { default: english } = await import(join(root, "www/text/en.js"));
  assert.deepEqual(formats.map(({ value }) => value).sort(), Object.keys(english.words.forOne).sort(), "each is called by the programs that read it");
  for (const { value, ending } of formats) {
    const file = await downloaded(page, shown.getByRole("button", { name: `${english.words.forOne[value]}: download <pear>`, exact: true }));
    assert.equal(file.name, `pear.${ending}`);
    assert.match(native(["inspect", "--json", file.path]).toString(), /pear/);
  }
  await shown.getByLabel("Name in prompts").fill("cat");
  await shown.getByRole("button", { name: "Rename" }).click();
  await page.locator("#details-problem").getByText(/“cat” is taken: choose another name, such as /).waitFor();
  await shown.getByLabel("Name in prompts").fill("<green-pear>");
  await shown.getByRole("button", { name: "Rename" }).click();
  await page.locator("#words [data-token='<green-pear>']").waitFor();
  const renamed = await downloaded(page, shown.getByRole("button", { name: /^diffusers.*: download <green-pear>/ }).first());
  assert.deepEqual(tensor(renamed.bytes, "<green-pear>"), tensor(readFileSync(PEAR), "<pear>"));
  await shown.getByRole("button", { name: "Use in the prompt" }).click();
  await page.waitForFunction(() => document.getElementById("prompt").value.includes("<green-pear>"));

  // Removed by one click, put back by the next; deleted for good by two that say so.
  const remove = async () => {
    shown = await details(page, "<green-pear>");
    await shown.getByRole("button", { name: "Remove from the shelf: <green-pear>" }).click();
    await page.getByText("<green-pear> was removed.").waitFor();
  };
  await remove();
  assert.equal(await page.evaluate(() => document.activeElement.id), "word-undo-button");
  await accessible(page, "after a word was removed");
  await look(page, "word-removed");
  await page.keyboard.press("Enter");
  await page.locator("#words [data-token='<green-pear>']").waitFor();
  await remove();
  await page.close();
  page = await open();
  await page.getByText("Removed", { exact: true }).click();
  await page.getByRole("button", { name: "Put back: <green-pear>" }).click();
  await page.locator("#words [data-token='<green-pear>']").waitFor();
  shown = await details(page, other);
  await shown.getByRole("button", { name: `Remove from the shelf: ${other}` }).click();
  await page.getByRole("button", { name: `Delete for good: ${other}` }).click();
  await page.getByRole("button", { name: "Delete: no undo" }).click();
  await page.locator("#words-removed").waitFor({ state: "hidden" });
  await page.close();
  page = await open();
  await page.locator("#words [data-token='<green-pear>']").waitFor();
  assert.equal(await page.locator("#words > li").count(), 1);
  const strangers = requests.filter((url) => !url.startsWith(place.origin) && !/^(data|blob):/.test(url));
  assert.deepEqual(strangers, [], "nobody else is asked anything");
  assert.deepEqual(errors, []);
  await context.close();
});

test("a word of a file with several can be called otherwise before there is a model", { timeout: 300_000 }, async () => {
  const pear = readFileSync(PEAR);
  const values = pear.subarray(8 + Number(pear.readBigUInt64LE(0)));
  const entry = (at) => ({ dtype: "F32", shape: [1, values.length / 4], data_offsets: [at, at + values.length] });
  const header = Buffer.from(JSON.stringify({ "<pear>": entry(0), "<plum>": entry(values.length) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const { context, open, errors } = await place.visitor();
  const page = await open();
  // Chosen as a model, a word is said to be one, and goes where it belongs by one press.
  await page.locator("#checkpoint").setInputFiles({ name: "apple.safetensors", mimeType: "", buffer: pear });
  const problem = page.locator("#model-problem");
  await problem.getByText("apple.safetensors is a word, not a model.").waitFor({ timeout: 60_000 });
  await problem.getByRole("button", { name: "Add to my words" }).click();
  await page.locator("#words [data-token='<pear>']").waitFor();
  assert.equal(await problem.textContent(), "");
  // What could not be read is not said for ever.
  await page.locator("#word-files").setInputFiles({ name: "README.md", mimeType: "", buffer: Buffer.from("# A heading") });
  await page.locator("#words-problem").getByText("README.md").waitFor();
  await page.getByRole("button", { name: "+ Import" }).click();
  assert.equal(await page.locator("#words-problem").textContent(), "");
  await page.getByLabel("Choose files…").setInputFiles({ name: "fruit.safetensors", mimeType: "", buffer: Buffer.concat([length, header, values, values]) });
  await page.locator("#words [data-token='<plum>']").waitFor({ timeout: 60_000 });
  const shown = await details(page, "<plum>");
  await shown.getByLabel("Name in prompts").fill("<damson>");
  await shown.getByRole("button", { name: "Rename" }).click();
  await page.locator("#words [data-token='<damson>']").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#load").click();
  await page.locator("#engine-status[data-state=ready]").waitFor({ timeout: 180_000 });
  await page.getByRole("button", { name: "Use in the prompt: <damson>" }).click();
  await page.locator("#prompt-info").getByText("1 vector").waitFor();
  assert.equal(await page.locator(".unusable").count(), 0);
  assert.deepEqual(errors, []);
  await context.close();
});

test("a concept is looked at before it is taken, and nothing is fetched before that", { timeout: 300_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors, requests } = await place.visitor();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: place.origin });
  const page = await open(`?hub=${encodeURIComponent(hub.url)}&concept=someone/pear`);
  const dialog = page.locator("#word-look");
  await dialog.getByText(/This link leads to the word someone\/pear\. Nothing has been downloaded yet/).waitFor();
  await page.waitForTimeout(500);
  assert.deepEqual([hub.asked, requests.filter((url) => /\/pkg\/|worker\.js/.test(url))], [[], []]);
  await accessible(page, "with a link to a concept");
  await look(page, "concept-link");
  assert.equal(await page.evaluate(() => document.activeElement.id), "word-fetch");
  await page.keyboard.press("Enter");

  await dialog.getByRole("button", { name: "Add to my words" }).waitFor({ timeout: 60_000 });
  await dialog.getByRole("img").nth(2).waitFor();
  for (const part of ["someone/pear", "<pear>", "a thing", "mit", "pseudoword's mini model", "learned_embeds.bin", "You can add it now"]) {
    assert.ok((await dialog.textContent()).includes(part), part);
  }
  assert.equal(await page.locator("#words > li").count(), 0, "nothing is taken by looking");
  await accessible(page, "with a look at a concept");
  await look(page, "concept");
  await dialog.getByRole("button", { name: "Copy a link to it" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${place.origin}/?concept=someone/pear`);
  await dialog.getByRole("button", { name: "Add to my words" }).click();
  const tile = page.locator("#words [data-token='<pear>']");
  await tile.locator("img").waitFor();
  await page.waitForFunction(() => document.activeElement.closest("[data-token='<pear>']"));
  await look(page, "concept-taken");

  // What cannot be had is said where it was asked for; an address on the Hub is as good as a name.
  await page.getByRole("button", { name: "+ Import" }).click();
  const address = dialog.getByLabel(/A repository on Hugging Face/);
  await address.fill("someone/nothing");
  await address.press("Enter");
  await page.locator("#look-problem").getByText("There is no someone/nothing: is it spelled right?").waitFor({ timeout: 60_000 });
  await address.fill("http://127.0.0.1:9/x.bin");
  await address.press("Enter");
  // A server that lets no page read its files cannot be told from none; both are said.
  await page.locator("#look-problem").getByText(/^127\.0\.0\.1\S* cannot be reached: are you online\?.* let web pages read its files/).waitFor({ timeout: 60_000 });
  const exact = await page.locator("#look-problem details").textContent();
  assert.match(exact, /CORS/);
  assert.doesNotMatch(exact, /HF_|HTTPS_PROXY|command/, "nothing is advised that cannot be done here");
  await accessible(page, "with a concept that cannot be had");
  await address.fill(hub.word);
  await address.press("Enter");
  await dialog.getByRole("button", { name: "Add to my words" }).waitFor({ timeout: 60_000 });
  assert.match(await dialog.textContent(), /someone\/pear.*<pear>/s);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "word-add", "the focus goes back");
  assert.deepEqual(errors.filter((text) => !/404|ERR_|CORS/.test(text)), []);
  await context.close();
});

/** A word as large as those of Stable Diffusion 1.x. */
function wide(token) {
  const header = Buffer.from(JSON.stringify({ [token]: { dtype: "F32", shape: [1, 768], data_offsets: [0, 3072] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return { name: "toy.safetensors", mimeType: "", buffer: Buffer.concat([length, header, Buffer.from(new Float32Array(768).fill(0.01).buffer)]) };
}

const PHOTOS = "stable-diffusion-v1-5/stable-diffusion-v1-5";

test("a word for another kind of model is not offered, and asked about before anything is drawn", { timeout: 400_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors, requests } = await place.visitor();
  let page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  for (const [token, file] of [["<pear>", PEAR], ["<toy>", wide("<toy>")], ["<cat-toy>", join(root, "tests/formats/fixtures/diffusers.bin")], ["my-sd-style", { ...wide("emb_params"), name: "my-sd-style.safetensors" }]]) {
    await page.locator("#word-files").setInputFiles(file);
    await page.locator("#announcer").getByText(`${token} is on the shelf.`).waitFor({ timeout: 60_000 });
  }
  await page.close();
  page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  const tile = (token) => page.locator(`#words [data-token="${token}"]`);
  const chips = () => page.locator("#prompt-words button").allTextContents();
  const idea = () => page.locator("#ideas button").first().textContent();
  const offered = async () => [await chips(), await idea(), await page.locator(".word-use").evaluateAll((all) => all.map((one) => one.closest("li").dataset.token))];
  const pear = [["<pear>"], "a <pear> on a blue background", ["<pear>"]];

  // Before there is a model, a word's kind and that of the model that would be loaded tell.
  await tile("<toy>").getByText("for Stable Diffusion 1.x").waitFor();
  await tile("<cat-toy>").getByText("for an unknown kind of model").waitFor();
  assert.deepEqual(await offered(), pear);
  const dialog = await details(page, "<toy>");
  assert.deepEqual(await filled(page, "#word-details"), ["Load a model of its kind"]);
  assert.equal(await dialog.getByRole("button", { name: "Use in the prompt" }).count(), 0);
  await accessible(page, "with a word for another kind of model");
  await look(page, "word-other");
  await page.keyboard.press("Escape");
  await details(page, "<cat-toy>");
  assert.deepEqual(await filled(page, "#word-details"), [], "there is none to begin with");
  await page.keyboard.press("Escape");

  // One thing is said, while it is typed; and asked when it is to be drawn.
  const info = () => page.locator("#prompt-info");
  const said = () => page.locator("#prompt-info, #make-problem, #make-notes").allInnerTexts();
  await page.locator("#prompt").fill("a <toy> on a beach");
  await info().getByText("<toy> needs Stable Diffusion 1.x (2.1 GB)").waitFor();
  assert.equal(await info().getByRole("button").count(), 0);
  // Those that other programs named, as these programs write them.
  for (const prompt of ["a cat, my-sd-style", "a cat (embedding:my-sd-style:0.8)", "a cat in <my-sd-style>"]) {
    await page.locator("#prompt").fill(prompt);
    await info().getByText("my-sd-style needs Stable Diffusion 1.x (2.1 GB)").waitFor();
    await page.waitForFunction(() => document.getElementById("prompt-info").children.length === 1);
  }
  await page.locator("#prompt").fill("a <toy> on a beach");
  await info().getByText("<toy> needs").waitFor();
  const make = page.getByRole("button", { name: "Make", exact: true });
  await make.click();
  await info().getByRole("button", { name: "Draw without it" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Show what it takes");
  assert.equal(await page.locator("#announcer").textContent(), "<toy> needs Stable Diffusion 1.x (2.1 GB)");
  await page.waitForTimeout(500);
  assert.deepEqual((await said()).map((text) => text.replace(/\s+/g, " ").trim()), ["<toy> needs Stable Diffusion 1.x (2.1 GB): Show what it takes Draw without it", "", ""]);
  assert.deepEqual([requests.filter((url) => /models\/mini\//.test(url)), await page.locator(".set").count()], [[], 0], "before anything is fetched or drawn");
  await everywhere(page, "word-asked");
  // Another prompt is another matter.
  await page.locator("#prompt").fill("a <toy> on a rock");
  await info().getByRole("button").first().waitFor({ state: "detached" });
  await page.locator("#prompt").press("Enter");
  await info().getByRole("button", { name: "Show what it takes" }).click();
  await page.locator("#plan").waitFor();
  assert.ok(hub.asked.some((path) => path.includes(PHOTOS)), `${hub.asked}`);
  await page.locator("#dismiss").click();

  // Drawn all the same it is plain text, which nobody is told again; and no picture of the word.
  await page.locator("#make summary").getByText("Settings").click();
  await page.locator("#make").getByLabel("Steps", { exact: true }).fill("1");
  await page.locator("#compare").check();
  await make.click();
  await info().getByRole("button", { name: "Draw without it" }).click();
  await page.locator(".shot:not(.coming)").waitFor({ timeout: 300_000 });
  await page.locator("#generate").waitFor();
  assert.deepEqual((await said()).map((text) => text.trim()), ["<toy> needs Stable Diffusion 1.x (2.1 GB)", "", ""]);
  assert.equal(await tile("<toy>").locator("img").count(), 0);
  assert.deepEqual(await offered(), pear);
  // It was agreed to for this prompt.
  await make.click();
  await page.locator(".shot:not(.coming)").nth(1).waitFor({ timeout: 300_000 });
  await page.locator("#prompt").fill("a <pear>");
  await page.locator("#prompt").press("Enter");
  await tile("<pear>").locator("img").waitFor({ timeout: 300_000 });
  await page.close();

  // Where another model would be loaded, other words fit; if that is not stored any more, it turns out before anything is drawn.
  page = await context.newPage();
  await page.addInitScript((name) => localStorage.setItem("pseudoword-model", JSON.stringify(name)), PHOTOS);
  await page.goto(`${place.origin}/`);
  await tile("<pear>").getByText("for pseudoword's mini model").waitFor();
  assert.deepEqual(await offered(), [["<toy>", "my-sd-style"], "a my-sd-style on a blue background", ["<toy>", "my-sd-style"]]);
  await page.locator("#prompt").fill("a <pear>");
  await page.locator("#prompt").press("Enter");
  await info().getByText("<pear> needs pseudoword's mini model (8 MB, once):").waitFor();
  assert.deepEqual(await info().getByRole("button").allTextContents(), ["Load", "Draw without it"]);
  const sets = await page.locator(".set").count();
  await page.locator("#prompt").fill("a <toy>");
  await page.locator("#prompt").press("Enter");
  await info().getByText("<toy> needs Stable Diffusion 1.x (2.1 GB):").waitFor({ timeout: 180_000 });
  assert.equal(await page.locator("#make-status").textContent(), "");
  await page.locator("#generate").waitFor();
  assert.equal(await page.locator(".set").count(), sets);
  await tile("<toy>").getByText("not for this model").waitFor();
  assert.deepEqual(await offered(), [["<pear>"], "a <pear> on a blue background", ["<pear>"]]);
  assert.deepEqual(errors, []);
  await context.close();
});
