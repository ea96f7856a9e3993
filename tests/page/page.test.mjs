// The page as somebody uses it: load the model, choose pictures, learn a word, close the tab in the middle, go on, make
// pictures, fetch words and models from elsewhere.
//
// On SwiftShader, so with as few steps as there can be: what is learned here is no word, but everything happens.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, cosine, fewSteps, load, look, native, peach, pauseAfterFirstStep, root, start, tensor } from "./browser.mjs";

let place;

before(async () => (place = await start()));
after(() => place?.close());

const visitor = () => place.visitor();

/** The same run by the native program on its `gpu` device. */
function nativeRows(steps) {
  const out = mkdtempSync(join(tmpdir(), "pseudoword-page-"));
  try {
    native([
      "train", "--device", "gpu", "--quiet", "--captions", "off", peach[0], peach[1], "--token", "<peach>", "--init", "apple", "--vectors", "2",
      "--steps", `${steps}`, "--batch-size", "1", "--eval-size", "1", "--preview-every", "0", "--out", join(out, "run"),
    ]);
    return tensor(readFileSync(join(out, "run/learned_embeds.safetensors")), "<peach>");
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** Saves a download, for the native program to look at. */
async function downloaded(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
  return { name: download.suggestedFilename(), path: await download.path(), bytes: readFileSync(await download.path()) };
}

test("a word is learned over two visits, kept, given away and used", { timeout: 900_000 }, async () => {
  const { context, open, errors, requests } = await visitor();
  let page = await open();
  assert.deepEqual(requests.filter((url) => /models|pkg/.test(url)), [], "nothing heavy is fetched before the click");
  await accessible(page, "at the start");
  const learn = page.getByRole("button", { name: "Learn it" });
  assert.ok(await learn.isDisabled(), "nothing to learn with yet");
  // By keyboard: the first thing that can be reached is the first thing to do.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "load");
  await page.keyboard.press("Enter");
  await page.locator("#model-status").getByText("The mini model is ready").waitFor({ timeout: 180_000 });
  // Defaults and choices are the engine's, as the program has them.
  const values = (ids) => page.evaluate((ids) => ids.map((id) => document.getElementById(id).value), ids);
  assert.deepEqual(await values(["steps", "batch", "vectors", "eval-size", "preview-every", "kind"]), ["300", "4", "2", "16", "100", "object"]);
  assert.deepEqual(await values(["make-steps", "guidance", "make-seed", "sampler", "make-side"]), ["25", "4", "0", "ddim", ""]);
  assert.deepEqual(await page.locator("#sampler option").allTextContents(), ["DDIM", "PNDM", "Euler", "Euler ancestral", "DPM++ 2M"]);
  await look(page, "loaded");

  // Chosen, dropped and pasted; what is no picture is refused by name.
  await page.getByLabel(/Choose three to five pictures/).setInputFiles([peach[0], join(root, "README.md")]);
  await page.getByText("README.md is not a PNG, JPEG or WebP picture").waitFor();
  const transfer = await page.evaluateHandle(([dropped, pasted]) => {
    const carry = (name, data) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type: "image/png" }));
      return transfer;
    };
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carry("pasted.png", pasted) }));
    return carry("flat.png", dropped);
  }, [peach[1], peach[2]].map((path) => readFileSync(path).toString("base64")));
  await page.locator("#drop").dispatchEvent("drop", { dataTransfer: transfer });
  const chosen = page.getByRole("list", { name: "Chosen pictures" });
  assert.deepEqual(await chosen.getByRole("img").evaluateAll((images) => images.map(({ alt }) => alt)), ["noto.png", "pasted.png", "flat.png"]);
  await page.getByRole("button", { name: "Remove pasted.png" }).click();

  // What is typed is checked as it is typed.
  await fewSteps(page, 3);
  await page.getByLabel("What to call it").fill("cat");
  await page.locator("#token-note").getByText(/"cat" is taken/).waitFor();
  await page.getByLabel(/Start from/).fill("red apple tree");
  await page.locator("#init-note").getByText(/3 tokens: set at least 3 vectors/).waitFor();
  await page.getByLabel(/Start from/).fill("apple");
  await page.locator("#init-note").getByText("1 token", { exact: true }).waitFor();
  await page.getByLabel("What to call it").fill("<peach>");
  await page.locator("#token-note").getByText(/./).waitFor({ state: "hidden" });

  // Paused after the first step, saved, and the tab is closed.
  await pauseAfterFirstStep(page);
  await learn.click();
  await page.getByText("Saved after step 1").waitFor({ timeout: 300_000 });
  assert.equal(await page.getByRole("button", { name: "Resume" }).filter({ visible: true }).count(), 1, "it waits");
  await look(page, "paused");
  await page.close({ runBeforeUnload: false });

  // The next visit, without a network for anything but the page: model and run are still here.
  await context.route(/models\//, (route) => route.abort());
  page = await open();
  await load(page);
  await page.getByText("Learning <peach> stopped at step 1 of 3.").waitFor();
  await accessible(page, "with an unfinished run");
  await look(page, "unfinished");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator("#train-status").getByText("Learned.").waitFor({ timeout: 300_000 });
  assert.equal(await page.getByRole("img", { name: "Evaluation loss over the steps" }).count(), 1);

  const words = page.getByRole("list", { name: "Embeddings" });
  assert.match(await words.textContent(), /<peach> 2 vectors/);
  const file = await downloaded(page, "Download <peach> for diffusers");
  assert.equal(file.name, "peach.safetensors");
  const [about] = native(["inspect", "--json", file.path]).toString().trim().split("\n").map((line) => JSON.parse(line)).slice(-1);
  assert.match(JSON.stringify(about), /<peach>/);
  const same = cosine(tensor(file.bytes, "<peach>"), nativeRows(3));
  console.log(`learned in two visits against native gpu in one run: cosine ${same.toFixed(7)}`);
  assert.ok(same >= 0.999, `${same}`);
  const pt = await downloaded(page, "Download <peach> for A1111");
  assert.equal(pt.bytes.subarray(0, 4).toString("latin1"), "PK\x03\x04");

  // A word for another kind of model is refused in words; our own file comes back under its name.
  await page.getByLabel(/Embeddings from files/).setInputFiles(join(root, "tests/formats/fixtures/diffusers.bin"));
  await page.getByText(/this model is pseudoword's mini model/).waitFor();
  await page.getByRole("button", { name: "Remove <peach>" }).click();
  await page.getByLabel(/Embeddings from files/).setInputFiles({ name: "peach.pt", mimeType: "application/octet-stream", buffer: pt.bytes });
  await page.getByRole("button", { name: "Download <peach> for diffusers" }).waitFor();

  await page.locator("#make").getByLabel("Steps").fill("1");
  // The engine's rules come in the page's words.
  await page.locator("#make").getByLabel("Side in pixels").fill("8000");
  await page.getByRole("textbox", { name: "Prompt", exact: true }).press("Enter");
  await page.locator("#make-problem").getByText("\u201cSide in pixels\u201d 8000: it must be at least 1, and at most 4096").waitFor();
  await page.locator("#make").getByLabel("Side in pixels").fill("");
  assert.ok(!(await page.getByLabel(/Also make it without/).isChecked()), "as in the program");
  await page.getByLabel(/Also make it without/).check();
  await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("a <peach> on a blue background");
  await page.getByRole("textbox", { name: "Prompt", exact: true }).press("Enter");
  const gallery = page.getByRole("list", { name: "Pictures", exact: true });
  await gallery.getByRole("img").nth(1).waitFor({ timeout: 180_000 });
  const [withWord, withoutWord] = await gallery.getByRole("img").evaluateAll((images) => images.map(({ alt, naturalWidth }) => [alt, naturalWidth]));
  assert.deepEqual(withWord, ["a <peach> on a blue background", 64]);
  assert.deepEqual(withoutWord, ["a on a blue background", 64], "the file of another program does not say what it started from");
  // A picture says what made it, as those of the program do.
  const picture = (await downloaded(page, "Save a <peach> on a blue background")).bytes.toString("latin1");
  for (const part of [/Steps: 1, Sampler: DDIM, CFG scale: 4, Seed: 0, Size: 64x64, Model hash: [0-9a-f]{10}, Model: mini, TI hashes: "<peach>: /, /model hash\0/, /sampler\0/]) assert.match(picture, part);
  // What is meant for something else is said, in the page's words, and every warning stays.
  await page.getByLabel(/Also make it without/).uncheck();
  await page.locator("#make").getByLabel("Seed").fill("-1");
  await page.locator("#make").getByLabel("Guidance").fill("1");
  await page.getByLabel("Negative prompt").fill("blur");
  await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("a <peech> (red:1.2)");
  await page.getByRole("textbox", { name: "Prompt", exact: true }).press("Enter");
  await gallery.getByText(/a <peech> \(red:1\.2\) \[seed \d+\]/).waitFor({ timeout: 180_000 });
  const warned = await page.locator("#make-problem").textContent();
  for (const part of ["\u201cNegative prompt\u201d has no effect", "did you mean \"<peach>\"?", "plain text here"]) assert.ok(warned.includes(part), warned);
  await accessible(page, "with pictures");
  await look(page, "pictures");
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360), "nothing is cut off on a phone");
  await look(page, "phone");

  // What is kept can be seen and deleted.
  await page.getByRole("button", { name: "Show stored models" }).click();
  await page.getByRole("button", { name: "Delete mini" }).click();
  await page.getByText("No model.").waitFor();
  const foreign = requests.filter((url) => !url.startsWith(place.origin) && !/^(data|blob):/.test(url));
  assert.deepEqual(foreign, [], "the pictures, and everything else, stay here");
  assert.deepEqual(errors.filter((text) => !/ERR_FAILED/.test(text)), [], "beside the requests that were made to fail");
  await context.close();
});

/** A Hub with a model and a concept, on another origin than the page; the first request for the U-Net is cut. */
async function playedHub() {
  const files = JSON.parse(readFileSync(join(root, "models/mini/manifest.json"))).files;
  const blob = "b".repeat(40);
  const out = mkdtempSync(join(tmpdir(), "pseudoword-hub-"));
  const word = join(out, "learned_embeds.bin");
  native(["convert", "--quiet", join(root, "tests/page/fixtures/pear.safetensors"), word]);
  const concept = { "learned_embeds.bin": readFileSync(word), "token_identifier.txt": Buffer.from("<pear>"), "type_of_concept.txt": Buffer.from("object") };
  rmSync(out, { recursive: true });
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
  const listing = (entries) => JSON.stringify({
    sha: "c".repeat(40),
    siblings: entries.map(([rfilename, size, sha]) => (sha ? { rfilename, size: 1, blobId: blob, lfs: { sha256: sha, size } } : { rfilename, size, blobId: blob })),
  });
  const asked = [];
  let cut = false;
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    asked.push(`${path} ${request.headers.range ?? ""}`.trim());
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-expose-headers", "ETag, Content-Range, X-Error-Code");
    if (request.method === "OPTIONS") return response.writeHead(204, { "access-control-allow-headers": "*" }).end();
    const send = (bytes, type = "application/octet-stream") => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const head = { "content-type": type, etag: `"${sha256(bytes)}"`, "content-length": bytes.length - from };
      if (from > 0) head["content-range"] = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(from > 0 ? 206 : 200, head);
      if (path.endsWith("unet/diffusion_pytorch_model.safetensors") && !cut) {
        cut = true;
        return response.write(bytes.subarray(0, bytes.length >> 1), () => setTimeout(() => response.destroy(), 200));
      }
      response.end(bytes.subarray(from));
    };
    if (path === "/api/models/someone/mini/revision/main") return send(Buffer.from(listing(files.map(({ path, bytes, sha256 }) => [path, bytes, bytes > 1e5 && sha256]))), "application/json");
    if (/^\/api\/models\/someone\/pear\/revision\/(main|c{40})$/.test(path)) return send(Buffer.from(listing(Object.entries(concept).map(([name, bytes]) => [name, bytes.length, name.endsWith("bin") && sha256(bytes)]))), "application/json");
    const [, repo, file] = /^\/someone\/(\w+)\/resolve\/c{40}\/(.+)$/.exec(path) ?? [];
    if (repo === "mini") return send(readFileSync(join(root, "models/mini", file)));
    if (repo === "pear" && concept[file]) return send(concept[file]);
    response.writeHead(404, { "x-error-code": "RepoNotFound" }).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, close: () => void server.close().closeAllConnections() };
}

test("models and words come from a repository or an address, in pieces if need be", { timeout: 600_000 }, async (t) => {
  const hub = await playedHub();
  t.after(hub.close);
  const { context, open, errors } = await visitor();
  const page = await open(`?hub=${encodeURIComponent(hub.url)}`);
  await page.getByText("Another model", { exact: true }).click();
  await page.getByLabel(/Repository on the Hugging Face Hub/).fill("someone/nothing");
  await page.getByRole("button", { name: "Look it up" }).click();
  await page.locator("#model-problem").getByText(/the Hub has no such repository/).waitFor();
  await page.getByLabel(/Repository on the Hugging Face Hub/).fill("someone/mini");
  await page.getByRole("button", { name: "Look it up" }).click();
  await page.locator("#plan-text").getByText(/someone\/mini: 14 MB in 11 files; the browser has .* free/).waitFor();
  assert.ok(!hub.asked.some((path) => path.includes("safetensors")), "the size is said before anything is downloaded");
  await look(page, "plan");
  await page.getByRole("button", { name: "Download" }).click();
  await page.locator("#model-status").getByText("someone/mini is ready").waitFor({ timeout: 180_000 });
  const unet = hub.asked.filter((path) => path.includes("unet/diffusion"));
  assert.equal(unet.length, 2, `${unet}`);
  assert.match(unet[1], / bytes=[1-9]\d*-$/, "it went on where it was cut");

  await page.getByLabel(/Or from the web/).fill("someone/pear");
  await page.getByRole("button", { name: "Fetch it" }).click();
  await page.getByText("<pear> (object) from someone/pear/learned_embeds.bin").waitFor();
  await page.getByRole("button", { name: "Remove <pear>" }).click();
  await page.getByLabel(/Or from the web/).fill(`${hub.url}/someone/pear/resolve/${"c".repeat(40)}/learned_embeds.bin`);
  await page.getByRole("button", { name: "Fetch it" }).click();
  await page.getByRole("button", { name: "Use <pear>" }).waitFor();
  assert.match(await page.getByRole("textbox", { name: "Prompt", exact: true }).inputValue(), /<pear>/);
  // A server that lets no page read its files cannot be told from none; both are said.
  await page.getByLabel(/Or from the web/).fill("http://127.0.0.1:9/x.bin");
  await page.getByRole("button", { name: "Fetch it" }).click();
  await page.locator("#words-problem").getByText(/127.0.0.1.*(CORS)/).waitFor({ timeout: 60_000 });
  assert.deepEqual(errors.filter((text) => !/404|ERR_|CORS/.test(text)), []);
  await context.close();
});

test("a browser without WebGPU is told what to do", async () => {
  const { context } = await visitor();
  const page = await context.newPage();
  await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
  await page.goto(`${place.origin}/`);
  await page.getByText(/This browser offers no WebGPU/).first().waitFor();
  await page.getByRole("button", { name: "Load the mini model" }).click();
  await page.locator("#model-problem").getByText(/This browser offers no WebGPU/).waitFor();
  await accessible(page, "without WebGPU");
  await context.close();
});
