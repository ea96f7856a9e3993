// Shows that the engine runs in this browser, by training on the mini model for three steps with given random choices.

import { EngineClient } from "./base/engine.js";

const log = document.getElementById("log");
const status = document.getElementById("status");

function say(text) {
  status.textContent = text;
  log.append(`${text}\n`);
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
  say("Fetching the mini model…");
  const files = await fetchMini();
  const engine = new EngineClient();
  say("Loading it onto the GPU…");
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
    say(`Step ${event.step} of ${event.of}: loss ${event.loss.toFixed(5)}, ${event.secs.toFixed(1)} s`);
  }
  const rows = Array.from(await engine.ask("job.rows", { job }));
  await engine.ask("end", { job });
  say("Done: the engine works here.");
  return { losses, rows };
}

document.getElementById("start").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  try {
    window.result = await run({
      replay: new URL("../tests/fixtures/replay-3.safetensors", import.meta.url),
      token: "<thing>", init: target.dataset.init, vectors: 2, steps: 3, lr: 5e-3, batchSize: 1,
    });
  } catch (error) {
    window.result = { error: error.message };
    say(`It did not work: ${error.message}`);
  }
});
