// Gives texts short keys: `t("models.plan.time")` becomes `t("104")`, the place of that text in its catalogue, which then needs no keys. That saves
// 2.3 of 61.9 kB of the page's own code. Only keys that stand in the code as a whole are shortened; those that it puts together, such as `models.is.${state}`, stay as they are. So are the properties of styles.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** A property of styles. */
const PROPERTY = /--[a-z][\w-]*/g;

/** The short name of a number. */
const short = (n) => (n < LETTERS.length ? LETTERS[n] : LETTERS[Math.floor(n / LETTERS.length) - 1] + LETTERS[n % LETTERS.length]);

/** The texts of a catalogue with their keys: `[key, text]`. */
const leaves = (part, before = "") => Object.entries(part).flatMap(([name, value]) => (typeof value === "object" ? leaves(value, `${before}${name}.`) : [[before + name, value]]));

/** A catalogue in which the texts of these keys stand in front, one after the other. */
function reordered(catalogue, keys) {
  const source = (value) => (typeof value === "object" ? object(value) : typeof value === "function" ? value.toString() : JSON.stringify(value));
  const object = (some) => `{${Object.entries(some).map(([name, value]) => `${JSON.stringify(name)}:${source(value)}`).join(",")}}`;
  const rest = (part, before = "") => Object.fromEntries(Object.entries(part).flatMap(([name, value]) => {
    if (typeof value !== "object") return keys.has(before + name) ? [] : [[name, value]];
    const left = rest(value, `${before}${name}.`);
    return Object.keys(left).length > 0 ? [[name, left]] : [];
  }));
  const front = Object.fromEntries(leaves(catalogue));
  return `export default Object.assign([${[...keys.keys()].map((key) => source(front[key])).join(",")}],${object(rest(catalogue))});`;
}

/** Shortens the keys of the catalogues in the files `texts`, and in `askers`, the scripts and pages that ask for them. A text that is a function
 * may use nothing but what it is given. */
export async function shorten({ texts, askers }) {
  const catalogues = await Promise.all(texts.map(async (file) => [file, (await import(pathToFileURL(file).href)).default]));
  const code = new Map(askers.map((file) => [file, readFileSync(file, "utf8")]));
  const whole = [...code.values()].join("\n");
  const asked = leaves(catalogues[0][1]).map(([key]) => key).filter((key) => whole.includes(`"${key}"`));
  const keys = new Map(asked.map((key, n) => [key, `${n}`]));
  for (const [file, catalogue] of catalogues) writeFileSync(file, reordered(catalogue, keys));
  for (const [file, text] of code) writeFileSync(file, text.replace(/"([a-z]\w*(?:\.[\w-]+)+)"/gi, (quoted, key) => (keys.has(key) ? `"${keys.get(key)}"` : quoted)));
}

/** Gives the properties of styles (`--strong-line`) short names in the files `sheets`, and in the `scripts` that set some of them by their whole names. */
export function shortenProperties({ sheets, scripts }) {
  const read = (files) => files.map((file) => [file, readFileSync(file, "utf8")]);
  const [styles, code] = [read(sheets), read(scripts)];
  const known = [...new Set(styles.flatMap(([, text]) => text.match(PROPERTY)))];
  const names = new Map(known.map((name, n) => [name, `--${short(n)}`]));
  for (const [file, text] of styles) writeFileSync(file, text.replace(PROPERTY, (name) => names.get(name)));
  for (const [file, text] of code) writeFileSync(file, text.replace(/"(--[a-z][\w-]*)"/g, (quoted, name) => (names.has(name) ? `"${names.get(name)}"` : quoted)));
}
