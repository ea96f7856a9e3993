// What a visitor downloads of code: the engine and its JavaScript, compressed as a good host does it (Brotli, 11).

import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const BOUND = 4e6;
const dist = new URL("../../dist/www/", import.meta.url);
const names = [...readdirSync(dist), ...readdirSync(new URL("pkg/", dist)).map((name) => `pkg/${name}`)];
let sum = 0;
for (const name of names.filter((name) => /\.(js|wasm)$/.test(name))) {
  const bytes = readFileSync(new URL(name, dist));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  const packed = brotliCompressSync(bytes, { params }).length;
  sum += packed;
  if (bytes.length > 1e5) console.log(`${name}: ${(bytes.length / 1e6).toFixed(2)} MB, ${(packed / 1e6).toFixed(2)} MB compressed`);
}
console.log(`code, compressed: ${(sum / 1e6).toFixed(2)} MB (bound: ${BOUND / 1e6} MB)`);
if (sum > BOUND) process.exit(1);
