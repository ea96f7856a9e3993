// A Hub that is played: a model and a concept on another origin than the page, and what was asked of it.

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { native, peach, root } from "./browser.mjs";

const COMMIT = "c".repeat(40);
const BLOB = "b".repeat(40);
const README = "---\nlicense: mit\n---\nA pear.\n";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** A word for the mini model as repositories hold it: `learned_embeds.bin`. */
function wordFile() {
  const out = mkdtempSync(join(tmpdir(), "pseudoword-hub-"));
  try {
    const word = join(out, "learned_embeds.bin");
    native(["convert", "--quiet", join(root, "tests/page/fixtures/pear.safetensors"), word]);
    return readFileSync(word);
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** The mini model in f16, as repositories have models. */
const MINI = join(root, "tests/fixtures/mini-f16");

/** What a repository with a folder's files lists. */
const entries = (folder) => readdirSync(folder, { recursive: true }).filter((path) => statSync(join(folder, path)).isFile())
  .map((path) => [path, statSync(join(folder, path)).size, path.endsWith(".safetensors") && sha256(readFileSync(join(folder, path)))]);

/** The mini model with its weights in a form: a folder, and what it lists. */
function converted(weights) {
  const out = mkdtempSync(join(tmpdir(), "pseudoword-hub-"));
  native(["models", "convert", "--quiet", MINI, out, "--weights", weights]);
  return { out, entries: entries(out) };
}

const listing = (entries) => JSON.stringify({
  sha: COMMIT,
  siblings: entries.map(([rfilename, size, sha]) => (sha ? { rfilename, size: 1, blobId: BLOB, lfs: { sha256: sha, size } } : { rfilename, size, blobId: BLOB })),
});

/** SDXL as one file in its repository: of all that it has, the header is there. */
export const SINGLE = "sd_xl_base_1.0.safetensors";
const single = (() => {
  const header = {};
  let at = 0;
  for (const { name, shape } of JSON.parse(readFileSync(join(root, "tests/fixtures/checkpoint-sdxl.json"))).tensors) header[name] = { dtype: "F16", shape, data_offsets: [at, (at += 2 * shape.reduce((a, b) => a * b, 1))] };
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.concat([Buffer.alloc(8), text]);
  head.writeBigUInt64LE(BigInt(text.length));
  return { length: head.length + at, subarray: (from, to) => Buffer.concat([head.subarray(from, to), Buffer.alloc(to - Math.max(from, Math.min(to, head.length)))]) };
})();

/** What SDXL's repository lists: the files of the tiny one, with the lengths of the real weights in both precisions. */
const SDXL = readdirSync(join(root, "tests/fixtures/tiny-sdxl"), { recursive: true }).filter((path) => /json$|txt$/.test(path)).map((path) => [path, 1000]).concat(
  [["text_encoder/model", 492_265_168, 246_144_152], ["text_encoder_2/model", 2_778_702_264, 1_389_382_176], ["unet/diffusion_pytorch_model", 10_270_077_736, 5_135_149_760], ["vae/diffusion_pytorch_model", 334_643_268, 167_335_342]]
    .flatMap(([stem, full, half]) => [[`${stem}.safetensors`, full, sha256(stem)], [`${stem}.fp16.safetensors`, half, sha256(stem)]]), [[SINGLE, single.length, sha256(SINGLE)]]);

/** What repositories of smaller models list. */
const weights = (encoder, unet, vae) => [["model_index.json", 500], ["text_encoder/config.json", 600], ["unet/config.json", 700], ["vae/config.json", 600], ["scheduler/scheduler_config.json", 300], ["tokenizer/vocab.json", 1e6], ["tokenizer/merges.txt", 5e5]].concat(
  [["text_encoder/model", encoder], ["unet/diffusion_pytorch_model", unet], ["vae/diffusion_pytorch_model", vae]]
    .flatMap(([stem, half]) => [[`${stem}.safetensors`, 2 * half, sha256(stem)], [`${stem}.fp16.safetensors`, half, sha256(stem)]]));
const LARGE = { sdxl: SDXL, sd1: weights(246_144_152, 1_719_125_304, 167_335_342), sd2: weights(680_820_392, 1_731_904_736, 167_335_342) };

/** The repositories: the one for photos holds the mini model here. */
const REPOSITORIES = { "someone/mini": "mini", "someone/sd1": "sd1", "someone/sd2": "sd2", "stable-diffusion-v1-5/stable-diffusion-v1-5": "mini", "someone/pear": "pear", "someone/f16": "f16", "someone/q8": "q8", "stabilityai/stable-diffusion-xl-base-1.0": "sdxl" };

/** Starts it: `someone/mini` is a model, `someone/pear` a concept. The first request for the U-Net is cut, the next one is slow: `slow` waits for
 * that. With `forms`, `someone/f16` and `someone/q8` are the mini model in both; `more` are other repositories by their names, with the bytes
 * of their files by paths. What `hold` matches is answered once `release` is called. */
export async function playedHub({ forms = false, hold, more = {} } = {}) {
  const kept = forms ? Object.fromEntries(["f16", "q8"].map((weights) => [weights, converted(weights)])) : {};
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const model = listing(entries(MINI));
  const concept = {
    "README.md": Buffer.from(README), "learned_embeds.bin": wordFile(), "token_identifier.txt": Buffer.from("<pear>"), "type_of_concept.txt": Buffer.from("object"),
    ...Object.fromEntries(peach.map((path, i) => [`concept_images/${i}.png`, readFileSync(path)])),
  };
  const asked = [];
  let unet = 0;
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    asked.push(`${path} ${request.headers.range ?? ""}`.trim());
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-expose-headers", "ETag, Content-Range, X-Error-Code");
    if (request.method === "OPTIONS") return response.writeHead(204, { "access-control-allow-headers": "*" }).end();
    const send = async (bytes, type = "application/octet-stream", own = false) => {
      const [, begin, end] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
      // A piece is asked for before it is downloaded.
      if (hold?.test(path) && !end) await released;
      const [from, to] = [Number(begin ?? 0), end ? Math.min(Number(end) + 1, bytes.length) : bytes.length];
      const head = { "content-type": type, etag: `"${bytes === single ? SINGLE : sha256(bytes)}"`, "content-length": to - from };
      if (begin) head["content-range"] = `bytes ${from}-${to - 1}/${bytes.length}`;
      response.writeHead(begin ? 206 : 200, head);
      if (end || own) return response.end(bytes.subarray(from, to));
      if (!path.endsWith("unet/diffusion_pytorch_model.safetensors") || ++unet > 2) return response.end(bytes.subarray(from));
      if (unet === 1) return response.write(bytes.subarray(0, bytes.length >> 2), () => setTimeout(() => response.destroy(), 200));
      // A slow one: some of it now and then.
      let at = from;
      const drip = setInterval(() => response.write(bytes.subarray(at, (at += 20_000))), 200);
      response.on("close", () => clearInterval(drip));
    };
    const [, asking] = /^\/api\/models\/([\w-]+\/[\w.-]+)\/revision\/(?:main|c{40})$/.exec(path) ?? [];
    const repo = REPOSITORIES[asking];
    if (more[asking]) return send(Buffer.from(listing(Object.entries(more[asking]).map(([name, bytes]) => [name, bytes.length, /(safetensors|gguf)$/.test(name) && sha256(bytes)]))), "application/json");
    if (repo === "mini") return send(Buffer.from(model), "application/json");
    if (LARGE[repo]) return send(Buffer.from(listing(LARGE[repo])), "application/json");
    if (kept[repo]) return send(Buffer.from(listing(kept[repo].entries)), "application/json");
    if (repo === "pear") return send(Buffer.from(listing(Object.entries(concept).map(([name, bytes]) => [name, bytes.length, name.endsWith("bin") && sha256(bytes)]))), "application/json");
    const [, place, file] = /^\/([\w-]+\/[\w.-]+)\/resolve\/c{40}\/(.+)$/.exec(path) ?? [];
    const from = REPOSITORIES[place];
    if (more[place]?.[file]) return send(more[place][file], undefined, true);
    if (from === "sdxl" && file === SINGLE) return send(single);
    if (from === "mini") return send(readFileSync(join(MINI, file)));
    if (kept[from]) return send(readFileSync(join(kept[from].out, file)));
    if (from === "pear" && concept[file]) return send(concept[file]);
    response.writeHead(404, { "x-error-code": "RepoNotFound" }).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  // Who stops a download before that makes it the slow one that is gone on with.
  const slow = async () => {
    while (unet < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  return { url, asked, slow, word: `${url}/someone/pear/resolve/${COMMIT}/learned_embeds.bin`, release, close() {
    server.close().closeAllConnections();
    for (const { out } of Object.values(kept)) rmSync(out, { recursive: true });
  } };
}
