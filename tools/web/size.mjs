// What a visitor downloads of code, compressed as a good host does it (Brotli, 11): the page's own, and with the engine.

import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

/** Bytes: of what is the page's own (its scripts, styles and index.html), and of all; of its languages, the longest text. */
const BOUNDS = { own: 72e3, all: 4e6 };
const dist = new URL("../../dist/", import.meta.url);
const sums = { own: 0, all: 0 };
let text = 0;
const kilobytes = (bytes) => `${(bytes / 1e3).toFixed(1)} kB`;
const names = ["index.html", "offline.js", ...readdirSync(new URL("www/", dist), { recursive: true }).map((name) => `www/${name}`)];
for (const name of names.filter((name) => /\.(js|wasm|css|html)$/.test(name) && !/\/check\./.test(name))) {
  const bytes = readFileSync(new URL(name, dist));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  const packed = brotliCompressSync(bytes, { params }).length;
  if (name.startsWith("www/text/")) {
    text = Math.max(text, packed);
    continue;
  }
  sums.all += packed;
  if (!name.startsWith("www/pkg/")) sums.own += packed;
  if (bytes.length > 1e5) console.log(`${name}: ${(bytes.length / 1e6).toFixed(2)} MB, ${(packed / 1e6).toFixed(2)} MB compressed`);
}
for (const of of ["own", "all"]) sums[of] += text;
console.log(`the page's own code, compressed: ${kilobytes(sums.own)} (bound: ${kilobytes(BOUNDS.own)})`);
console.log(`with the engine: ${(sums.all / 1e6).toFixed(2)} MB (bound: ${BOUNDS.all / 1e6} MB)`);
if (sums.own > BOUNDS.own || sums.all > BOUNDS.all) process.exit(1);
