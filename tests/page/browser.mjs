// A web server for the repository and a Chromium with WebGPU on SwiftShader.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import axe from "axe-core";
import { chromium } from "playwright-core";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".webmanifest": "application/manifest+json" };
/** How Chromium is started. */
export const flags = [
  "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
  "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
  // Nothing but this machine is asked for: a name server that does not answer would hold a test up for as long as it likes.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
  // Others, to find out what something in the browser costs: --enable-dawn-features=disable_robustness
  ...(process.env.CHROMIUM_FLAGS?.split(" ") ?? []),
];

/** Pictures of a thing that the mini model does not know. */
export const peach = ["noto", "flat", "3d"].map((name) => join(root, `examples/peach/${name}.png`));

/** The page as visitors get it, made by tools/web/assemble; but for the names of its elements, which tests look for, where they are `kept`. */
export function assembled(kept) {
  assert.ok(existsSync(join(root, "www/pkg/pseudoword_bg.wasm")), "build the page first: tools/web/build");
  const dist = mkdtempSync(join(tmpdir(), "pseudoword-dist-"));
  execFileSync(join(root, "tools/web/assemble"), [dist], { env: { ...process.env, ...(kept && { PSEUDOWORD_NAMES: "kept" }) } });
  return dist;
}

/** Starts both; gives `{origin, browser, dist, visitor, close}`. What is served is the page as visitors get it, and from the repository what
 * that lacks; or its sources, where `sources` says so: there each module can be reached and played, and the page as visitors get it is in
 * `assembled/`, with the short names of its elements. (With SOURCES set always, to find out where something goes wrong.) Its service worker only where `offline` says so, because
 * requests that go through one cannot be played. */
export async function start({ offline = false, sources = process.env.SOURCES !== undefined } = {}) {
  const dist = assembled(!sources);
  const server = createServer((request, response) => {
    const asked = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).replace(/\/$/, "/index.html");
    const path = sources ? asked.replace(/^\/assembled\//, "/") : asked;
    const places = sources && path === asked ? [root] : offline ? [dist] : [dist, root];
    const file = places.map((place) => join(place, path)).find((file) => existsSync(file) && statSync(file).isFile());
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
    const content = readFileSync(file);
    response.end(path === "/index.html" && !offline ? content.toString().replace(" data-offline", "") : content);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
  const close = async () => {
    await browser.close();
    server.close();
    rmSync(dist, { recursive: true });
  };
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, browser, dist, visitor: () => visitor(browser, origin), close };
}

/** A visitor with a storage of their own. `open` gives a page; whatever it complains about and asks for is collected. */
async function visitor(browser, origin) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  const errors = [];
  const requests = [];
  const open = async (query = "") => {
    const page = await context.newPage();
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(`${origin}/${query}`);
    // Files can be given to a field that does not listen yet, and it would be as if nobody had.
    await page.locator("body[data-ready]:not([data-ready=seen])").waitFor();
    return page;
  };
  return { context, open, errors, requests };
}

/** Runs `hook` in the Worker before the engine is there. */
export async function hooked(context, hook) {
  await context.route("**/www/worker.js", async (route) => {
    await route.fulfill({ contentType: "text/javascript", body: `${hook}\n${readFileSync(join(root, "www/worker.js"))}` });
  });
}

/** Counts in the Worker, as `hooked` has it, the bytes of the GPU's buffers that are not destroyed. Keeps what WebGPU refuses. */
export const COUNT_BUFFERS = `{
  const seen = { all: 0, refused: [] };
  const destroyed = new WeakSet();
  const { createBuffer } = GPUDevice.prototype, { destroy } = GPUBuffer.prototype, { requestDevice } = GPUAdapter.prototype;
  GPUDevice.prototype.createBuffer = function (what) {
    const buffer = createBuffer.call(this, what);
    seen.all += buffer.size;
    return buffer;
  };
  GPUBuffer.prototype.destroy = function () {
    if (!destroyed.has(this)) seen.all -= this.size;
    destroyed.add(this);
    destroy.call(this);
  };
  GPUAdapter.prototype.requestDevice = async function (wanted) {
    const device = await requestDevice.call(this, wanted);
    device.addEventListener("uncapturederror", ({ error }) => seen.refused.push(error.message));
    return device;
  };
  const asked = new BroadcastChannel("buffers");
  asked.onmessage = () => asked.postMessage(seen);
}`;

/** What COUNT_BUFFERS has seen. */
export const buffers = (page) => page.evaluate(() => new Promise((resolve) => {
  const channel = new BroadcastChannel("buffers");
  channel.onmessage = ({ data }) => {
    channel.close();
    resolve(data);
  };
  channel.postMessage("");
}));

/** A model is loaded, within so many milliseconds. */
export const ready = (page, timeout = 180_000) => page.locator("#model-line").getByText(/^Ready/).waitFor({ timeout });

/** Loads the mini model by the button. */
export async function load(page) {
  await page.locator("#load").click();
  await ready(page);
}

/** No rule of axe's is broken. */
export async function accessible(page, state) {
  // As axe's own package for Playwright does it, but once in each page and without one more page to gather what frames say: there are none.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
  const broken = await page.evaluate(async () => {
    const { passes, violations } = await axe.run({ resultTypes: ["violations"] });
    return passes.length < 10 ? ["axe did not look"] : violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
  });
  assert.deepEqual(broken, [], state);
}

/** A state is for everybody: light and dark, on a phone and on a wide screen, no rule of axe's is broken and nothing is cut off. */
export async function everywhere(page, state) {
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [width, height] of [[390, 844], [1440, 900]]) {
      await page.setViewportSize({ width, height });
      const where = `${state}, ${colorScheme}, ${width} wide`;
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where}: nothing is cut off`);
      await accessible(page, where);
      await look(page, `${state}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
}

/** The buttons that are filled, by what is painted. */
export async function filled(page, place) {
  await page.mouse.move(0, 0);
  return page.locator(`${place} button`).filter({ visible: true }).evaluateAll(async (buttons) => {
    const over = document.getAnimations().filter((one) => one instanceof CSSTransition).map(({ finished }) => finished.catch(() => {}));
    // Not for ever: a browser may never draw the frame that ends one.
    await Promise.race([Promise.all(over), new Promise((resolve) => setTimeout(resolve, 5000))]);
    const accent = getComputedStyle(document.querySelector(".logo")).stroke;
    return buttons.filter((one) => getComputedStyle(one).backgroundColor === accent).map(({ textContent }) => textContent);
  });
}

/** Keeps a picture of the page, where one is wanted. */
export async function look(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Turns to the room of teaching, and gives it pictures. */
export async function teach(page, pictures) {
  await page.getByRole("button", { name: "Use my own pictures" }).click();
  await page.getByLabel("Add pictures").setInputFiles(pictures);
  await page.getByRole("list", { name: "Chosen pictures" }).getByRole("img").nth(pictures.length - 1).waitFor();
}

/** Sets the number of steps, and leaves out whatever can be left out. */
export async function fewSteps(page, steps, other = {}) {
  await page.locator("#learn summary").click();
  const settings = { Steps: `${steps}`, "Batch size": "1", "Preview every": "0", "Evaluation samples": "1", ...other };
  for (const [name, value] of Object.entries(settings)) await page.locator("#learn").getByLabel(name, { exact: true }).fill(value);
}

/** Sets few steps: where the number does not matter, a played run need not take the usual hundreds. */
export const fewPlayed = (page) => page.locator("#steps").evaluate((field) => (field.value = "40"));

/** How the examples are learned: in their module, or in the one file of the page as visitors get it. */
const WATCHED = /\{\s*steps:\s*300,\s*vectors:\s*2,\s*"preview-every":\s*25,\s*"preview-steps":\s*8\s*\}/;

/** Makes the examples take as few steps as these settings say. */
export async function fewExampleSteps(context, settings) {
  assert.match(readFileSync(join(root, "www/start/examples.js"), "utf8"), WATCHED);
  await context.route(/\/www\/(main|start\/examples)\.js$/, async (route) => {
    const text = await (await route.fetch()).text();
    await route.fulfill({ contentType: "text/javascript", body: text.replace(WATCHED, JSON.stringify(settings)) });
  });
}

/** Presses a button (`pause`, `stop`) as soon as a step is done. */
export function pressAfterStep(page, step, button) {
  return page.evaluate(([step, button]) => {
    const status = document.getElementById("train-status");
    const observer = new MutationObserver(() => {
      if (!status.textContent.startsWith(`Step ${step} `)) return;
      observer.disconnect();
      document.getElementById(button).click();
    });
    observer.observe(status, { childList: true, characterData: true, subtree: true });
  }, [step, button]);
}

export const pauseAfterFirstStep = (page) => pressAfterStep(page, 1, "pause");

/** What the page says of the first step that is done from now on: it may say so for a moment only. */
export const firstStep = (page) => page.evaluate(() => new Promise((resolve) => {
  const status = document.getElementById("train-status");
  const observer = new MutationObserver(() => {
    if (!/^Step \d/.test(status.textContent)) return;
    observer.disconnect();
    resolve(status.textContent);
  });
  observer.observe(status, { childList: true, characterData: true, subtree: true });
}));

/** Runs the native program; gives what it printed. */
export function native(args) {
  const binary = process.env.PSEUDOWORD;
  assert.ok(binary && existsSync(binary), "PSEUDOWORD must name the native program");
  return execFileSync(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
}

/** The f32 tensor of a safetensors file. */
export function tensor(bytes, name) {
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const [from, to] = JSON.parse(bytes.subarray(8, end).toString())[name].data_offsets;
  return Array.from({ length: (to - from) / 4 }, (_, i) => bytes.readFloatLE(end + from + 4 * i));
}

export function cosine(a, b) {
  assert.equal(a.length, b.length);
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** The files of the models in the storage, with their lengths. */
export const stored = (page) => page.evaluate(async () => {
  const within = async (folder, at) => {
    const found = [];
    for await (const [name, handle] of folder.entries()) {
      if (handle.kind === "directory") found.push(...(await within(handle, `${at}${name}/`)));
      else found.push([at + name, (await handle.getFile()).size]);
    }
    return found;
  };
  const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
  return Object.fromEntries(await within(models, ""));
});
