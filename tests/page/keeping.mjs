// What a full-size model costs to get and to keep, in eight bits and as it comes: serves a folder as a repository on a Hub, has the page download
// it, and prints the bytes that were sent, the storage at its fullest and at the end, and how long it took until the model was ready, on that
// visit and from the storage on the next. By hand, because the model has gigabytes and SwiftShader holds them in the machine's memory:
//
//     python benches/peer/random_model.py FOLDER --full      # 2.1 GB
//     node tests/page/keeping.mjs FOLDER [as-it-comes]

import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { flags, start } from "./browser.mjs";

const [folder, how] = process.argv.slice(2);
const COMMIT = "c".repeat(40);
const paths = readdirSync(folder, { recursive: true }).filter((path) => /(json|txt|safetensors)$/.test(path) && statSync(join(folder, path)).isFile());
const siblings = [];
for (const rfilename of paths) {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(join(folder, rfilename))) hash.update(piece);
  const size = statSync(join(folder, rfilename)).size;
  siblings.push({ rfilename, size, blobId: "b".repeat(40), lfs: { sha256: hash.digest("hex"), size } });
}
let sent = 0;
const hub = createServer((request, response) => {
  const path = new URL(request.url, "http://x").pathname;
  response.setHeader("access-control-allow-origin", "*");
  if (request.method === "OPTIONS") return response.writeHead(204, { "access-control-allow-headers": "*" }).end();
  if (path.startsWith("/api/")) return response.end(JSON.stringify({ sha: COMMIT, siblings }));
  const file = join(folder, path.split(`/resolve/${COMMIT}/`)[1]);
  response.writeHead(200, { "content-length": statSync(file).size });
  createReadStream(file).on("data", (piece) => (sent += piece.length)).pipe(response);
});
await new Promise((resolve) => hub.listen(0, "127.0.0.1", resolve));

const size = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;
const place = await start({ sources: true });
// Private windows, which Playwright's are, keep what is stored in memory.
const profile = mkdtempSync(join(tmpdir(), "pseudoword-profile-"));
const context = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
try {
  const page = await context.newPage();
  await page.goto(`${place.origin}/?hub=${encodeURIComponent(`http://127.0.0.1:${hub.address().port}`)}`);
  await page.locator("body[data-ready]:not([data-ready=seen])").waitFor();
  await page.locator("#other-models summary").click();
  await page.locator("#repo").fill("someone/model");
  await page.locator("#repo").press("Enter");
  await page.locator("#plan-verdict").waitFor();
  if (how) {
    await page.locator("#eight").uncheck();
    await page.waitForFunction(() => document.activeElement.id === "eight" && !document.getElementById("eight").disabled);
  }
  console.log((await page.locator("#plan").innerText()).replace(/\n+/g, " | "));

  /** Waits until the model is ready; gives when it was loaded, seconds since the beginning and the most bytes that were stored. */
  const readied = async () => {
    const began = Date.now();
    const seconds = () => (Date.now() - began) / 1000;
    let [most, written, kept] = [0, 0];
    for (;;) {
      const [state, text, usage, problem] = await page.evaluate(async () => [
        document.getElementById("engine-status").dataset.state, document.getElementById("fetch-text").textContent,
        (await navigator.storage.estimate()).usage, document.getElementById("model-problem").textContent,
      ]);
      if (problem) throw new Error(problem);
      most = Math.max(most, usage);
      if (/^Writing/.test(text)) written += 0.25;
      if (state === "loading") kept ??= [seconds(), usage];
      if (state === "ready") return { most, written, kept, seconds: seconds() };
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  };
  await page.locator("#fetch").click();
  const got = await readied();
  console.log(`downloaded: ${size(sent)}; stored: ${size(got.kept[1])}, ${size(got.most)} at the fullest; kept after ${got.kept[0].toFixed(0)} s, about ${got.written.toFixed(0)} s of them writing in 8 bits; ready after ${got.seconds.toFixed(0)} s`);
  const memory = () => page.locator("#model-facts").innerText();
  await page.waitForFunction(() => document.getElementById("model-memory")?.textContent.length > 1);
  console.log((await memory()).replace(/\n+/g, " "));
  sent = 0;
  await page.reload();
  await page.locator("#stored-models summary").click();
  await page.getByRole("button", { name: "Load: someone/model" }).click();
  const again = await readied();
  console.log(`from the storage: ready after ${again.seconds.toFixed(0)} s, ${sent} bytes downloaded`);
} finally {
  await context.close();
  rmSync(profile, { recursive: true });
  await place.close();
  hub.close().closeAllConnections();
}
