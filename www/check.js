// Shows that the engine runs in this browser: what it offers, before anything is fetched; then three steps of training on the mini model
// with given random choices.

import { $, h } from "./base/dom.js";
import { EngineClient } from "./base/engine.js";
import { also, notHere, size, t } from "./base/text.js";
import { frame } from "./base/frame.js";
import { browser, gpu, lacking } from "./start/browsers.js";

let done = 0;

function say(text) {
  $("status").textContent = text;
  $("log").append(`${text}\n`);
  $("progress").value = done++;
}

/** What the browser offers, and whether that is enough. */
async function offer() {
  const missing = await lacking();
  const found = navigator.gpu && isSecureContext ? await gpu() : {};
  const { name, version, system } = await browser();
  const yes = (it) => t(it ? "check.yes" : "check.no");
  const facts = {
    browser: `${name[0].toUpperCase()}${name.slice(1)} ${version} (${system})`, secure: yes(isSecureContext), webgpu: yes(navigator.gpu), worker: navigator.gpu && yes(found.gpu),
    gpu: found.adapter && (found.name || t("check.unnamed")), software: found.adapter && yes(found.software),
    halves: found.adapter && yes(found.halves), largest: found.largest && size(found.largest),
  };
  $("facts").append(...Object.entries(facts).filter(([, value]) => value).flatMap(([key, value]) => [h("dt", {}, t(`check.facts.${key}`)), h("dd", {}, value)]));
  $("verdict").dataset.level = missing ? "bad" : found.software ? "fair" : "good";
  $("verdict").textContent = missing ? `${missing.what} ${missing.todo}` : t(found.software ? "check.slow" : "check.good");
}

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response;
}

/** The mini model's files from beside the page, `{path: Blob}`; nothing is stored. */
async function fetchMini() {
  const model = new URL("../models/mini/", import.meta.url);
  const { files } = await (await get(new URL("manifest.json", model))).json();
  return Object.fromEntries(await Promise.all(files.map(async ({ path }) => [path, await (await get(new URL(path, model))).blob()])));
}

/** Loads the model and trains on the choices in `replay`; gives the losses and the rows. */
async function run({ replay, token, init, vectors, steps, lr, batchSize }) {
  say(t("check.fetching"));
  const files = await fetchMini();
  const engine = new EngineClient();
  say(t("check.loading"));
  await engine.ask("open", { name: "mini", files, precision: "f32" });
  const config = {
    token, init, vectors, steps, lr,
    "batch-size": batchSize, "lr-schedule": "constant", "preview-every": 0, "eval-every": 0,
  };
  const job = await engine.ask("train", { config, replay: await (await get(replay)).arrayBuffer() });
  const losses = [];
  for await (const event of engine.events(job)) {
    if (event.event !== "step") continue;
    losses.push(event.loss);
    say(t("check.step", { step: event.step, of: event.of, loss: event.loss.toFixed(5), secs: event.secs.toFixed(1) }));
  }
  const rows = Array.from(await engine.ask("job.rows", { job }));
  await engine.ask("end", { job });
  say(t("check.works"));
  return { losses, rows };
}

await also("check");
frame();
document.body.dataset.ready = "";
offer();
$("copy").addEventListener("click", () => navigator.clipboard.writeText(`${navigator.userAgent}\n${$("verdict").textContent}\n${$("facts").innerText}\n${$("log").textContent}`));
$("start").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  for (const id of ["progress", "happened"]) $(id).hidden = false;
  try {
    window.result = await run({
      replay: new URL("../tests/fixtures/replay-3.safetensors", import.meta.url),
      token: "<thing>", init: target.dataset.init, vectors: 2, steps: 3, lr: 5e-3, batchSize: 1,
    });
  } catch (error) {
    window.result = { error: error.message };
    // Where a file does not come, browsers say that each in their own way.
    say(t("check.failed", error instanceof TypeError ? `${notHere()} (${error.message})` : error.message));
  }
});
