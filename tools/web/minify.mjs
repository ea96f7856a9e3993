// minify OUT: takes out of the page's own code in OUT what only people need, and makes one file of a page's modules and one of its
// stylesheets, because what is compressed together is smaller; gives texts and the properties of styles short names. Files that are fetched by
// themselves, or not by everybody, stay: Workers, the engine, and the texts.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { shorten, shortenProperties } from "./keys.mjs";
import { rename } from "./names.mjs";

// They lie with the packages of the page's tests, which have the one lock file.
const PACKAGES = new URL("../../tests/page/", import.meta.url);
const { build, transform } = createRequire(new URL("package.json", PACKAGES))("esbuild");
const terser = createRequire(new URL("package.json", PACKAGES))("terser");

const NAMES = "aside|body|details|dialog|div|dl|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|label|legend|li|link|main|meta|ol|p|script|section|summary|title|ul";

const minified = {
  js: async (text) => (await transform(text, { loader: "js", minify: true, charset: "utf8", legalComments: "none" })).code.trim(),
  css: async (text) => (await transform(text, { loader: "css", minify: true, charset: "utf8" })).code.trim(),
  // White space between elements may be seen, and one character of it stays, but where a line begins or ends with a block.
  html: async (text) => text.replace(/<!--[^]*?-->/g, "").replace(/\s*\n\s*/g, "\n").replace(BLOCKS, "").trim(),
};

/** The ends of lines before and behind blocks: labels are blocks here, too. */
const BLOCKS = new RegExp(`\\n(?=<\\/?(?:${NAMES})\\b)|(?<=<\\/?(?:${NAMES})\\b[^<>]*>)\\n`, "g");

const STYLES = /<link rel="stylesheet" href="([^"]+)">/g;

/** One stylesheet for a page, where its first was: in one file they compress better, and are there after one request. */
function joined(page) {
  const html = readFileSync(page, "utf8");
  const sheets = [...html.matchAll(STYLES)].map(([, address]) => join(dirname(page), address));
  const name = `${basename(page, ".html")}.css`;
  writeFileSync(join(out, "www", name), sheets.map((sheet) => readFileSync(sheet, "utf8")).join("\n"));
  let first = `<link rel="stylesheet" href="${dirname(page) === out ? "www/" : ""}${name}">`;
  writeFileSync(page, html.replace(STYLES, () => [first, (first = "")][0]));
  return sheets;
}

const out = resolve(process.argv[2]);
const www = join(out, "www");
const within = (place) => readdirSync(place, { recursive: true }).map((name) => join(place, name)).filter((name) => !name.startsWith(join(www, "pkg")));

/** What fetches modules: the pages' own, and the Workers'. */
const ENTRIES = ["main.js", "check.js", "help.js", "worker.js", "start/adapter.js"];

/** Whatever is beside a module is looked for beside it, though it is in another's file now. */
const besideIt = {
  name: "beside it",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => ({ contents: readFileSync(path, "utf8").replaceAll("import.meta.url", `new URL("${relative(www, path)}", import.meta.url)`) }));
  },
};

/** How modules are written anew. */
const SQUEEZED = { module: true, ecma: 2022, compress: { passes: 2, hoist_funs: true, sequences: false }, mangle: true };
const CACHE = new URL("node_modules/.cache/", PACKAGES).pathname;

/** A module written anew, a thirtieth smaller once it is compressed: what is used once stands where it is used, and functions stand together.
 * That takes seconds, and every file of tests makes the page: what was made of the same module is kept. */
async function squeezed(text) {
  const kept = join(CACHE, `${createHash("sha256").update(JSON.stringify([text, SQUEEZED])).digest("hex")}.js`);
  if (existsSync(kept)) return readFileSync(kept, "utf8");
  const { code } = await terser.minify(text, structuredClone(SQUEEZED));
  mkdirSync(CACHE, { recursive: true });
  // Whole, or not at all: two may be at it.
  const begun = `${kept}.${process.pid}`;
  writeFileSync(begun, code);
  renameSync(begun, kept);
  return code;
}

/** One file for each of what fetches modules, with all that it imports; the modules are removed. */
async function bundled() {
  const { metafile, outputFiles } = await build({
    entryPoints: ENTRIES.map((entry) => join(www, entry)), outdir: www, absWorkingDir: www, write: false, metafile: true,
    bundle: true, format: "esm", target: "esnext", minify: true, charset: "utf8", legalComments: "none", external: ["./pkg/*"], plugins: [besideIt], logLevel: "warning",
  });
  for (const module of Object.keys(metafile.inputs)) rmSync(join(www, module));
  for (const { path, text } of outputFiles) writeFileSync(path, await squeezed(text));
  // What is in one file now need not be fetched early.
  for (const page of PAGES) writeFileSync(page, readFileSync(page, "utf8").replace(/<script [^>]*async><\/script>\n?/g, ""));
  return outputFiles.map(({ path }) => path);
}

const PAGES = ["index.html", "www/check.html", "www/help.html"].map((page) => join(out, page));
for (const sheet of new Set(PAGES.flatMap(joined))) rmSync(sheet);
const ready = await bundled();
await shorten({ texts: readdirSync(join(www, "text"), { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => join(www, "text", name)), askers: [...ready, ...PAGES] });
shortenProperties({ sheets: within(www).filter((file) => file.endsWith(".css")), scripts: ready });
await Promise.all([PAGES[0], ...within(www)].filter((file) => !ready.includes(file)).map(async (file) => {
  const of = minified[file.split(".").at(-1)];
  if (of) writeFileSync(file, await of(readFileSync(file, "utf8")));
}));
// Tests look for elements by their names.
if (process.env.PSEUDOWORD_NAMES !== "kept") rename({ page: PAGES[0], styles: join(www, "index.css"), script: join(www, "main.js") });
// Folders of which nothing is left.
for (const place of within(www).reverse()) if (statSync(place).isDirectory() && readdirSync(place).length === 0) rmdirSync(place);
