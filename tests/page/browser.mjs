// A web server for the repository and a Chromium with WebGPU on SwiftShader.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json" };
const flags = [
  "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
  "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
];

/** Starts both; gives `{origin, browser, close}`. */
export async function start() {
  assert.ok(existsSync(join(root, "www/pkg/pseudoword_bg.wasm")), "build the page first: tools/web/build");
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).replace(/\/$/, "/index.html");
    const file = join(root, path);
    if (!file.startsWith(root) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
    response.end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, browser, close };
}

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
