// The engine in a real browser: Chromium with WebGPU on SwiftShader, no GPU needed.
//
// The page loads the mini model in a dedicated Worker and makes three training steps from a replay; the rows must equal
// those of the native program's `gpu` device and PyTorch's, which had the numbers that the model's eight bits stand for.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { COUNT_BUFFERS, buffers, cosine, hooked, native, peach, root, start, tensor } from "./browser.mjs";

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

  const reference = readFileSync(join(root, "tests/fixtures/trajectory-3-q8.safetensors"));
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

/** A safetensors file with one embedding, each of its values the same. */
function embedding(token, vectors, width, value) {
  const header = JSON.stringify({ [token]: { dtype: "F32", shape: [vectors, width], data_offsets: [0, 4 * vectors * width] } });
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([head, Buffer.from(header), Buffer.from(new Float32Array(vectors * width).fill(value).buffer)]);
}

/** A page with an engine of its own. Gives `call`, which calls a method in the Worker, buffers included, and `refused`, which gives
 * the message of one that fails. */
async function caller(hook) {
  const { context, open } = await place.visitor();
  if (hook) await hooked(context, hook);
  const page = await open("www/check.html");
  await page.evaluate(async () => {
    const { EngineClient } = await import("./base/engine.js");
    window.engine = new EngineClient();
    const given = (arg) => (arg?.base64 === undefined ? arg : Uint8Array.from(atob(arg.base64), (c) => c.charCodeAt(0)).buffer);
    window.call = (method, args) => window.engine.ask(method, { args: args.map(given) });
  });
  const told = (args) => args.map((arg) => (Buffer.isBuffer(arg) ? { base64: arg.toString("base64") } : arg));
  const call = (method, ...args) => page.evaluate(([method, args]) => window.call(method, args), [method, told(args)]);
  const refused = (method, ...args) =>
    page.evaluate(([method, args]) => window.call(method, args).then(() => undefined, (error) => error.message), [method, told(args)]);
  return { page, call, refused };
}

/** Loads the mini model, without the storage. */
const loadMini = (page) => page.evaluate(async () => {
  const model = new URL("../models/mini/", location.href);
  const { files } = await (await fetch(new URL("manifest.json", model))).json();
  const blob = async ({ path }) => [path, await (await fetch(new URL(path, model))).blob()];
  await window.engine.ask("open", { name: "mini", files: Object.fromEntries(await Promise.all(files.map(blob))), precision: "f32" });
});

test("files are looked at without a model", async () => {
  const { page, call, refused } = await caller();
  assert.deepEqual(await call("tools.describe", embedding("<fox>", 2, 768, 0.5), "fox.safetensors"), [{
    token: "<fox>", vectors: 2, width: 768, widths: [768], family: "Stable Diffusion 1.x", norm: Math.sqrt(768 / 4),
    format: "diffusers (safetensors)", notes: [],
  }]);
  assert.match(await refused("tools.describe", Buffer.from("hello"), "fox.pt"), /fox\.pt/);
  const converted = async (...about) => Buffer.from(Object.values(await call("tools.convert", ...about)));
  const renamed = await converted(embedding("<fox>", 2, 768, 0.5), "fox.safetensors", "a1111", "<reineke>");
  const [{ token, vectors, width }] = await call("tools.describe", renamed, "x.pt");
  assert.deepEqual([token, vectors, width], ["<reineke>", 2, 768]);
  const two = readFileSync(join(root, "tests/formats/fixtures/two-words.safetensors"));
  const [, second] = await call("tools.describe", two, "two-words.safetensors");
  const taken = await converted(two, "two-words.safetensors", "diffusers", "<other>", second.token);
  assert.deepEqual((await call("tools.describe", taken, "x.safetensors")).map(({ token, norm }) => [token, norm]), [["<other>", second.norm]]);
  assert.match(await refused("tools.convert", two, "two-words.safetensors", "diffusers", "<other>"), /two-words/);
  assert.match(await refused("tools.convert", two, "two-words.safetensors", "nothing", second.token), /no format/);

  const [noto, other] = peach.map((path) => readFileSync(path));
  const seen = await call("tools.examine", noto, "noto.png", 64);
  assert.deepEqual([seen.width, seen.height, seen.upright, seen.warnings], [256, 256, [256, 256], []]);
  const small = await call("tools.examine", noto, "noto.png");
  assert.deepEqual(small.warnings.map(({ code }) => code), ["small-pictures"]);
  assert.match(small.warnings[0].text, /noto\.png is only 256 pixels/);
  assert.ok(await call("tools.alike", seen.fingerprint, small.fingerprint));
  assert.ok(!(await call("tools.alike", seen.fingerprint, (await call("tools.examine", other, "flat.png", 64)).fingerprint)));
  // What of a picture is the thing, as a picture of the whole.
  const found = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
    const picture = { name: "noto.png", bytes, crop: { left: 28, top: 28, side: 228 } };
    const nothing = await engine.ask("tools.masks", { args: [{ kind: "object" }, [picture]] });
    const [{ mask, ...about }] = await engine.ask("tools.masks", { args: [{ masks: "auto" }, [picture]] });
    const { width, height } = await createImageBitmap(new Blob([mask], { type: "image/png" }));
    return { nothing, about, size: [width, height] };
  }, noto.toString("base64"));
  assert.deepEqual([found.nothing, found.size, found.about.name], [[], [256, 256], "noto.png"]);
  assert.ok(["found", "unsure"].includes(found.about.origin) && found.about.confidence > 0, JSON.stringify(found.about));

  const heic = Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1");
  assert.match(await refused("tools.examine", heic, "IMG_7.HEIC"), /HEIC photo; export it as JPEG/);
  await page.close();
});

/** A Hub on another origin with one concept, `someone/pear`; gives what was asked of it, too. */
async function playedHub(files) {
  const commit = "c".repeat(40);
  const siblings = Object.entries(files).map(([rfilename, bytes]) => ({ rfilename, size: bytes.length, blobId: "b".repeat(40) }));
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    response.setHeader("access-control-allow-origin", "*");
    if (request.method === "OPTIONS") return response.writeHead(204, { "access-control-allow-headers": "*" }).end();
    if (request.url.startsWith("/api/models/someone/pear/")) return response.end(JSON.stringify({ sha: commit, siblings }));
    const file = files[request.url.split(`/someone/pear/resolve/${commit}/`)[1]];
    return file ? response.end(file) : response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, close: () => void server.close().closeAllConnections() };
}

test("a concept is looked at before it is taken", async (t) => {
  const picture = readFileSync(peach[0]);
  const readme = "---\nlicense: mit\n---\n### pear\n";
  const hub = await playedHub({
    "README.md": Buffer.from(readme), "learned_embeds.bin": Buffer.alloc(900, 1), "token_identifier.txt": Buffer.from("<pear>\n"),
    "type_of_concept.txt": Buffer.from("object"), "concept_images/10.jpeg": Buffer.from("ten"), "concept_images/2.jpeg": picture,
  });
  t.after(hub.close);
  const { page } = await caller();
  const found = await page.evaluate(async (hub) => {
    const { engine } = window;
    await engine.ask("start", { mini: new URL("../models/mini/", location.href).href, hub, labels: {} });
    const about = await engine.ask("look", { typed: "someone/pear" });
    const { name, bytes } = await engine.ask("lookAtPicture", { typed: "someone/pear", path: about.pictures[0] });
    const none = await engine.ask("lookAtPicture", { typed: "someone/pear", path: "3.jpeg" }).catch(({ message }) => message);
    return { about, name, length: bytes.length, none };
  }, hub.url);
  const { files, ...about } = found.about;
  assert.deepEqual(about, {
    repo: "someone/pear", token: "<pear>", kind: "object", licence: "mit", readme, embedding: "learned_embeds.bin", bytes: 900,
    pictures: ["concept_images/2.jpeg", "concept_images/10.jpeg"],
  });
  assert.equal(files.length, 6);
  assert.deepEqual([found.name, found.length], ["2.jpeg", picture.length]);
  assert.match(found.none, /3\.jpeg/);
  assert.equal(hub.asked.filter((url) => url.includes("/api/")).length, 1, "it is listed once");
  assert.ok(!hub.asked.some((url) => url.includes("learned_embeds") || url.includes("10.jpeg")), `${hub.asked}`);
  await page.close();
});

/** Hides timestamp-query, and refuses to give it: what an adapter without it does. */
const WITHOUT_TIMESTAMPS = `{
  const adapter = GPUAdapter.prototype, { requestDevice } = adapter;
  const { get } = Object.getOwnPropertyDescriptor(adapter, "features");
  Object.defineProperty(adapter, "features", {
    configurable: true,
    get() { return new Set([...get.call(this)].filter((name) => name !== "timestamp-query")); },
  });
  adapter.requestDevice = function (wanted) {
    if ([...(wanted?.requiredFeatures ?? [])].includes("timestamp-query")) return Promise.reject(new TypeError("there is no timestamp-query"));
    return requestDevice.call(this, wanted);
  };
}`;

/** What lies in buffers of the GPU, and what the engine counts itself. */
const counted = async (page) => ({ held: await page.evaluate(() => window.engine.ask("engine.memoryHeld")), ...(await buffers(page)) });

/** Makes a picture; what lies in buffers then. */
async function made(page) {
  await page.evaluate(async () => {
    const job = await window.engine.ask("generate", { prompt: "an apple", config: { steps: 2 } });
    for await (const _ of window.engine.events(job));
    await window.engine.ask("end", { job });
  });
  return counted(page);
}

test("a buffer is destroyed when nothing can use it any more", async () => {
  const { page } = await caller();
  const seen = await page.evaluate(async () => {
    const { giveBuffersBack } = await import("./buffers.js");
    const table = new WebAssembly.Table({ element: "externref", initial: 4 });
    const names = [];
    const { destroy } = GPUBuffer.prototype;
    GPUBuffer.prototype.destroy = function () {
      names.push(this.label);
      destroy.call(this);
    };
    giveBuffersBack(() => table);
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    const refused = [];
    device.addEventListener("uncapturederror", ({ error }) => refused.push(error.message));
    const make = (label, slot) => table.set(slot, device.createBuffer({ label, size: 2 ** 24, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST }));
    const seen = {};
    const at = (when) => (seen[when] = names.join(""));
    const unrelated = () => device.queue.submit([device.createCommandEncoder().finish()]);
    make("a", 0);
    make("b", 1);
    make("c", 2);
    at("all are held");
    table.set(0, null);
    make("d", 3);
    at("a is dropped");
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(table.get(1), 0, table.get(2), 0, 1024);
    table.set(1, null);
    unrelated();
    make("e", 0);
    at("b is dropped, and work with it recorded");
    const commands = encoder.finish();
    unrelated();
    at("the work has an end");
    device.queue.submit([commands]);
    at("it is submitted");
    await device.queue.onSubmittedWorkDone();
    device.destroy();
    await device.lost;
    table.set(2, null);
    make("f", 1);
    at("the device is lost");
    return { ...seen, refused };
  });
  assert.deepEqual(seen, {
    "all are held": "", "a is dropped": "a", "b is dropped, and work with it recorded": "a", "the work has an end": "a", "it is submitted": "ab",
    "the device is lost": "abc", refused: [],
  });
  await page.close();
});

test("what the page asks of a model, on an adapter without timestamp-query", { timeout: 300_000 }, async () => {
  const { page, call, refused } = await caller(WITHOUT_TIMESTAMPS + COUNT_BUFFERS);
  await loadMini(page);
  const facts = await call("engine.facts");
  assert.deepEqual([facts.name, facts.family, facts.side, facts.width, facts.room], ["mini", "pseudoword's mini model", 64, 128, 75]);
  assert.ok(facts.clipLayers > 1, "its prompts may be taken from another layer");
  assert.equal(facts.parts.reduce((sum, { bytes }) => sum + bytes, 0), facts.weights);
  const need = await call("engine.need", { token: "<fox>", "batch-size": 4 });
  assert.deepEqual(need.phases.map(({ phase }) => phase), ["encoding", "step", "preview"]);
  assert.equal(need.bytes, Math.max(...need.phases.map(({ bytes }) => bytes)));
  assert.ok(need.weights > 0 && need.sentence.includes("GPU"), need.sentence);
  assert.match(await refused("engine.need", { token: "<fox>", resolution: 63 }), /multiple/);

  // That the GPU passed its self-test is kept: by adapter, browser and program, for some days.
  const kept = await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("self-test");
    return Promise.all((await Array.fromAsync(folder.values())).map(async (handle) => JSON.parse(await (await handle.getFile()).text())));
  });
  assert.equal(kept.length, 1);
  assert.ok(Math.abs(kept[0].passed - Date.now()) < 600_000 && /Chrome/.test(kept[0].driver) && kept[0].kernels.length === 16, JSON.stringify(kept));

  const held = await call("engine.memoryHeld");
  assert.ok(held >= need.weights && held < 4 * need.bytes, `${held} held, ${need.weights} are weights`);

  const added = await call("engine.addEmbedding", embedding("<fox>", 2, 128, 1), "fox.safetensors");
  assert.deepEqual([added.token, added.vectors, added.width, added.notes], ["<fox>", 2, 128, []]);
  assert.ok(Math.abs(added.norm - Math.sqrt(128)) < 1e-6 && added.typical > 0, JSON.stringify(added));
  const info = await call("engine.promptInfo", "a (<fox>:1.2) and a <foxy> AND a hill");
  assert.deepEqual(info.words, [{ token: "<fox>", vectors: 2 }]);
  assert.deepEqual(info.unknown.map(({ text }) => text), ["<foxy>"]);
  assert.equal(info.room, 75);
  assert.deepEqual([info.stretches, info.notes.map(({ code, quoted }) => [code, quoted])], [1, [["and", "AND"]]]);
  const plain = await call("engine.promptInfo", "a (<fox>:1.2)", "plain");
  assert.deepEqual([plain.words, plain.notes.map(({ code }) => code)], [info.words, ["weight"]]);
  assert.match(await refused("engine.promptInfo", "a", "esperanto"), /no language of prompts "esperanto"/);
  assert.equal(await call("engine.without", "a embedding:<FOX> on a hill", "compel"), "a on a hill");
  const renamed = await call("engine.renameEmbedding", "<fox>", "<reineke>");
  assert.equal(renamed.token, "<reineke>");
  assert.equal(renamed.nearest.length, 5);
  assert.deepEqual(await call("engine.about", "<reineke>"), renamed);
  assert.match(await refused("engine.renameEmbedding", "<reineke>", "apple"), /apple/);
  assert.match(await refused("engine.about", "<fox>"), /<fox>/);

  // Pictures are cut before they are learned from, and what was learned is judged.
  const picture = { name: "noto.png", base64: readFileSync(peach[0]).toString("base64"), crop: { left: 16, top: 32, side: 200 } };
  const config = { token: "<peach>", init: "apple", steps: 1, vectors: 1, "batch-size": 1, "eval-size": 1, "preview-every": 0 };
  const learned = await page.evaluate(async ([config, { base64, ...picture }]) => {
    const train = (more) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
      return window.engine.ask("train", { config, pictures: [{ ...picture, bytes, ...more }] });
    };
    const outside = await train({ crop: { left: 100, top: 0, side: 200 } }).catch(({ message }) => message);
    const job = await train();
    const events = [];
    const before = await window.engine.ask("job.verdict", { job });
    for await (const event of window.engine.events(job)) events.push(event);
    const verdict = await window.engine.ask("job.verdict", { job });
    await window.engine.ask("end", { job });
    return { outside, before, events, verdict };
  }, [config, picture]);
  assert.match(learned.outside, /noto\.png.*does not lie in its 256x256 pixels/);
  assert.match(learned.events.find(({ event }) => event === "encode").prepared, /^200x200 cut out of 256x256 at 16, 32/);
  const { loss, initial } = learned.events.findLast(({ event }) => event === "evaluation");
  assert.equal(learned.before, undefined);
  assert.ok(Math.abs(learned.verdict.gain - (1 - loss / initial)) < 1e-9, JSON.stringify(learned.verdict));
  assert.ok(learned.verdict.level === "begun" && learned.verdict.text.startsWith("the loss on the pictures"));

  // What was learned in enough steps is tried without being asked; whoever stops that has the word. In the page it goes on to `quality`.
  const tried = await page.evaluate(async ([config, { base64, name }]) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
    const job = await engine.ask("train", { config: { ...config, steps: 50, resolution: 8 }, pictures: [{ name, bytes }] });
    const events = [];
    for await (const event of engine.events(job)) if (events.push(event) && event.event === "trying" && event.done === 3) break;
    const { length } = await engine.ask("job.embedding", { job, args: ["diffusers"] });
    await engine.ask("end", { job });
    return { length, events: events.slice(-4) };
  }, [config, picture]);
  assert.deepEqual(tried.events.map(({ event }) => event), ["evaluation", "trying", "trying", "trying"]);
  // A look at the picture, then 8 steps for each of 8 scenes, without the word and with three states of it.
  assert.deepEqual(tried.events.at(-1), { event: "trying", done: 3, total: 1 + 8 * 8 * 4 });
  assert.ok(tried.length > 128, `${tried.length}`);

  // What is marked weighs the loss, in the square; a run goes on with the same masks only.
  const masks = await page.evaluate(async ([config, { base64, ...picture }]) => {
    const bytes = () => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
    const marks = (left) => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
      canvas.getContext("2d").fillRect(left, 0, 24, 128);
      return canvas.toDataURL();
    };
    const losses = [];
    // In the square, all of the square, to the left of it.
    for (const mask of [marks(40), undefined, marks(-18)]) {
      const job = await engine.ask("train", { config, pictures: [{ ...picture, bytes: bytes(), mask }] });
      for await (const { event, initial } of engine.events(job)) {
        if (event !== "evaluation") continue;
        losses.push(initial);
        break;
      }
      if (losses.length === 1) {
        const state = await engine.ask("job.state", { job });
        const again = (mask) => engine.ask("train", { config, state, pictures: [{ ...picture, bytes: bytes(), mask }] }).then((job) => engine.ask("end", { job }), ({ code }) => code);
        losses.again = [await again(marks(40)), await again(marks(41)), await again()];
      }
      await engine.ask("end", { job });
    }
    // And captions are made as for a run.
    const job = await engine.ask("describe", { config, pictures: [{ ...picture, bytes: bytes() }] });
    let last;
    for await (const { event } of engine.events(job)) {
      last = event;
      if (["encode", "step"].includes(event)) break;
    }
    await engine.ask("end", { job });
    return { losses, again: losses.again, last };
  }, [config, picture]);
  assert.ok(Math.abs(masks.losses[0] / masks.losses[1] - 1) > 0.01 && masks.losses[2] === masks.losses[1], `${masks.losses}`);
  assert.deepEqual([masks.again, masks.last], [[undefined, "changed", "changed"], "encode"]);

  // What is dropped is given back: in a browser wgpu does not do it.
  const rounds = [await counted(page), await made(page), await made(page), await made(page)];
  console.log(`bytes in buffers (by the engine): ${rounds.map(({ held, all }) => `${all} (${held})`).join(", ")}`);
  for (const { held, all, refused } of rounds) {
    assert.deepEqual(refused, []);
    assert.ok(all <= held + (1 << 20), `${all} bytes in buffers, ${held} by the engine`);
  }
  assert.ok(rounds[3].all <= rounds[1].all + (1 << 20), "making again takes no more");

  await page.close();
});
