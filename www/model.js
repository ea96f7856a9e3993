// The mini model's files, from beside the page.

const FILES = [
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

/** Why this browser cannot run the engine, in words; nothing if it can. */
export async function lacking() {
  if (!globalThis.isSecureContext) return "This page must be opened over https, or from localhost: only there browsers offer the GPU.";
  if (!navigator.gpu) {
    return "This browser offers no WebGPU. Chrome and Edge have it since version 113, Safari since 26, Firefox on Windows since 141; "
      + "on Linux, Chrome needs chrome://flags/#enable-unsafe-webgpu.";
  }
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) return "The browser has WebGPU but gives no graphics adapter: look at chrome://gpu, and update the graphics driver.";
  if (!adapter.features.has("timestamp-query")) return "The graphics adapter lacks the feature timestamp-query, which the engine needs.";
  return undefined;
}

/** A file's bytes. */
export async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** Every file of the mini model, `{path: ArrayBuffer}`; `tell(done, of)` counts files. */
export async function fetchMini(tell = () => {}) {
  const model = new URL("../models/mini/", import.meta.url);
  let done = 0;
  const one = async (path) => {
    const bytes = await download(new URL(path, model));
    tell(++done, FILES.length);
    return [path, bytes];
  };
  return Object.fromEntries(await Promise.all(FILES.map(one)));
}
