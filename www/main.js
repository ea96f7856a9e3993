// A first page: shows that the engine runs in this browser, by learning on the mini model for three steps.

import { EngineClient } from "./engine.js";

const MODEL = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model.safetensors",
  "tokenizer/merges.txt",
  "tokenizer/special_tokens_map.json",
  "tokenizer/vocab.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];

const log = document.getElementById("log");
const status = document.getElementById("status");

function say(text) {
  status.textContent = text;
  log.append(`${text}\n`);
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** Loads the model at `model` and trains on the choices in `replay`; gives the losses and the rows. */
async function run({ model, replay, token, init, vectors, steps, lr, batchSize }) {
  if (!navigator.gpu) throw new Error("This browser has no WebGPU.");
  say("Fetching the mini model…");
  const files = Object.fromEntries(
    await Promise.all(MODEL.map(async (path) => [path, await download(`${model}/${path}`)])),
  );
  const engine = new EngineClient();
  say("Loading it onto the GPU…");
  await engine.ask("open", { files });
  const config = {
    token, init, vectors, steps, lr,
    "batch-size": batchSize, "lr-schedule": "constant", "preview-every": 0, "eval-every": 0,
  };
  const job = await engine.ask("train", { config, replay: await download(replay) });
  const losses = [];
  for await (const event of engine.events(job)) {
    if (event.event !== "step") continue;
    losses.push(event.loss);
    say(`Step ${event.step} of ${event.of}: loss ${event.loss.toFixed(5)}, ${event.secs.toFixed(1)} s`);
  }
  const rows = Array.from(await engine.ask("rows", { job }));
  await engine.ask("end", { job });
  say("Done: the engine works here.");
  return { losses, rows };
}

document.getElementById("start").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  try {
    window.result = await run({
      model: "models/mini", replay: "tests/fixtures/replay-3.safetensors",
      token: "<thing>", init: target.dataset.init, vectors: 2, steps: 3, lr: 5e-3, batchSize: 1,
    });
  } catch (error) {
    window.result = { error: error.message };
    say(`It did not work: ${error.message}`);
  }
});
