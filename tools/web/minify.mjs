// minify OUT: takes out of the page's own code in OUT what only people need, and makes one file of a page's stylesheets. Modules stay
// modules, with the names of their files and of what they export: only what is inside is called otherwise.

import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

// It lies with the packages of the page's tests, which have the one lock file.
const { transform } = createRequire(new URL("../../tests/page/package.json", import.meta.url))("esbuild");

const minified = {
  js: async (text) => (await transform(text, { loader: "js", minify: true, charset: "utf8", legalComments: "none" })).code.trim(),
  css: async (text) => (await transform(text, { loader: "css", minify: true, charset: "utf8" })).code.trim(),
  // White space between elements may be seen: one character of it stays.
  html: async (text) => text.replace(/<!--[^]*?-->/g, "").replace(/\s*\n\s*/g, "\n").trim(),
};

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

const out = join(process.argv[2], ".");
for (const sheet of new Set(["index.html", "www/check.html"].flatMap((page) => joined(join(out, page))))) rmSync(sheet);
const files = ["index.html", ...readdirSync(join(out, "www"), { recursive: true }).filter((name) => !name.startsWith("pkg")).map((name) => join("www", name))];
await Promise.all(files.map(async (file) => {
  const of = minified[file.split(".").at(-1)];
  if (of) writeFileSync(join(out, file), await of(readFileSync(join(out, file), "utf8")));
}));
