// What a visitor downloads of code, each file compressed as a good host does it (Brotli, 11; GitHub's pages come with gzip): the page's
// own, and with the engine. Prints it for dist/, and fails where it is more than its bound.

import { readFileSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** Bytes: of what is the page's own (its scripts, styles and index.html), and of all. */
export const BOUNDS = { own: 60e3, all: 4e6 };

const brotli = (bytes) => {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return brotliCompressSync(bytes, { params }).length;
};

/** The sizes of the page in a folder that `assemble` made: `{own, gzip, all, kinds: {js, css, html}, files}`; of the languages, the
 * longest counts. The engine, which takes half a minute to compress, is in `all` and `files`, and left out of them if `engine` is false. Left out is what only check.html and help.html need, and what is said where a
 * browser lacks something. */
export function sizes(dist, { engine = true } = {}) {
  const names = ["index.html", "offline.js", ...readdirSync(`${dist}/www`, { recursive: true }).map((name) => `www/${name}`)];
  const found = names.filter((name) => /\.(js|wasm|css|html)$/.test(name) && (engine || !name.startsWith("www/pkg/")) && !/\/(check|help)[./]|text\/browsers/.test(name)).map((name) => {
    const bytes = readFileSync(`${dist}/${name}`);
    const own = !name.startsWith("www/pkg/");
    return { name, own, bytes: bytes.length, brotli: brotli(bytes), gzip: own ? gzipSync(bytes, { level: 9 }).length : 0 };
  });
  const sum = (kind, some) => some.reduce((sum, file) => sum + file[kind], 0);
  const texts = found.filter(({ name }) => name.startsWith("www/text/"));
  const languages = [...new Set(texts.map(({ name }) => basename(name)))].map((language) => texts.filter(({ name }) => basename(name) === language));
  const shorter = languages.sort((a, b) => sum("brotli", b) - sum("brotli", a)).slice(1).flat();
  const files = found.filter((file) => !shorter.includes(file));
  const mine = files.filter(({ own }) => own);
  const kinds = Object.fromEntries(["js", "css", "html"].map((kind) => [kind, sum("brotli", mine.filter(({ name }) => name.endsWith(`.${kind}`)))]));
  return { own: sum("brotli", mine), gzip: sum("gzip", mine), all: sum("brotli", files), kinds, files };
}

const kilobytes = (bytes) => `${(bytes / 1e3).toFixed(1)} kB`;

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { own, gzip, all, kinds, files } = sizes(new URL("../../dist", import.meta.url).pathname);
  for (const { name, bytes, brotli } of files.filter(({ bytes }) => bytes > 1e5)) console.log(`${name}: ${(bytes / 1e6).toFixed(2)} MB, ${(brotli / 1e6).toFixed(2)} MB compressed`);
  const parts = Object.entries(kinds).map(([kind, bytes]) => `${kind} ${kilobytes(bytes)}`).join(", ");
  console.log(`the page's own code, compressed: ${kilobytes(own)} (${parts}; bound: ${kilobytes(BOUNDS.own)}); with gzip ${kilobytes(gzip)}`);
  console.log(`with the engine: ${(all / 1e6).toFixed(2)} MB (bound: ${BOUNDS.all / 1e6} MB)`);
  if (own > BOUNDS.own || all > BOUNDS.all) process.exit(1);
}
