// Gives what only the page itself calls by name, elements by their ids and classes, short names: a hundredth of its own code. Names of two words,
// because these stand for nothing else in its code. Left as they are: names that are anything else as well (the value of an attribute such as
// data-setting, or a word of styles), and those that may be put together (`${place}-title`).

import { readFileSync, writeFileSync } from "node:fs";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** A name that nobody gives. */
const short = (n) => `_${n < LETTERS.length ? "" : LETTERS[Math.floor(n / LETTERS.length) - 1]}${LETTERS[n % LETTERS.length]}`;

/** The names of two words that stand in a page and its styles. */
function given(page, styles) {
  const attributes = [...page.matchAll(/ (?:id|class)="([^"]+)"/g)].flatMap(([, names]) => names.split(" "));
  const selectors = styles.replace(/\{[^{}]*\}/g, "{}").matchAll(/[.#]([a-z][\w-]*)/gi);
  return [...new Set([...attributes, ...[...selectors].map(([, name]) => name)])].filter((name) => name.includes("-"));
}

/** Renames in a page, its styles and its script, which are files. */
export function rename({ page, styles, script }) {
  const files = [page, styles, script];
  const [html, css, js] = files.map((file) => readFileSync(file, "utf8"));
  const values = new Set([...html.matchAll(/ (?!id|class|for|aria-)[\w-]+="([^"]+)"/g)].map(([, value]) => value));
  const declared = new Set((css.match(/\{[^{}]*\}/g) ?? []).flatMap((body) => body.match(/[a-z-]+/g)));
  // Where a string, or a piece of one, begins or ends with a hyphen, something is put together.
  const pieces = [...js.matchAll(/["'`}]((?:-[\w-]+)|(?:[\w-]+-))(?=["'`]|\$\{)/g)].map(([, piece]) => piece);
  const together = (name) => pieces.some((piece) => name.startsWith(piece) || name.endsWith(piece));
  const renamed = given(html, css).filter((name) => ![values, declared].some((others) => others.has(name)) && !together(name));
  const names = new Map(renamed.map((name, n) => [name, short(n)]));
  const words = new RegExp(`(?<=["'\`#.\\s])(?:${renamed.sort((a, b) => b.length - a.length).join("|")})(?![\\w-])`, "g");
  for (const [i, text] of [html, css, js].entries()) writeFileSync(files[i], text.replace(words, (name) => names.get(name)));
}
