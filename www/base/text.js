// What the page says, in the visitor's language: every sentence of the page's own is in www/text. What the engine says is in English; what it
// warns of, what goes wrong in it, and what it notes of a prompt, www/text/told has words for, by its code.

import { keep, recall } from "./memory.js";

/** The languages that there is a file for, by their codes, and what their speakers call them. */
export const languages = { en: "English", de: "Deutsch" };

const KEY = "pseudoword-language";

/** The code of the language that is used. */
export const language = [recall(KEY), ...navigator.languages.map((code) => code.slice(0, 2))].find((code) => code in languages) ?? "en";

const fetched = async (file) => (await import(new URL(`../text/${file}`, import.meta.url))).default;

/** Only this one is fetched: every language has every text, which tests/page/states.test.mjs holds. */
const texts = await fetched(`${language}.js`);

/** Adds texts that few visitors need, from the folder that is named as their keys begin. */
export async function also(part) {
  texts[part] = await fetched(`${part}/${language}.js`);
}

/** What a kind of model is called: the engine names it, or says by which text encoder it is known and, in brackets, what has that. */
export const familyName = (family) => t("words.families")[family] ?? /\((.+)\)$/.exec(family)?.[1] ?? family;

/** A part of what the engine says, as it is written here. */
const localised = (part) => (/^\d+\.\d+ .B$/.test(part) ? part.replace(".", decimal(0.5, 1)[1]) : familyName(part));

/** What is said of a code of the engine's: of a warning's (`"codes"`, `"few-pictures"`), of an error's with its parts (`"errors"`, `"busy"`,
 * `{host}`), or of a note's (`"notes"`, `"lora"`); nothing if there is no text for it. */
export async function engineText(kind, code, parts = {}) {
  if (!texts.told) await also("told").catch(() => {});
  const found = texts.told?.[kind][code];
  return typeof found === "function" ? found(Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, localised(part)]))) : found;
}

/** What is said by a key (`"learn.pause"`); where that is a function, it gets `about`. */
export function t(key, about) {
  const found = key.split(".").reduce((part, name) => part?.[name], texts);
  if (found === undefined) throw new Error(`there is no text ${key}`);
  return typeof found === "function" ? found(about) : found;
}

/** What is said where a part of the page does not come. */
export const notHere = () => t(navigator.onLine ? "engine.incomplete" : "engine.offline");

/** Fills in the texts of elements: `data-t` is the key of the text, `data-t-title` (any attribute) of that attribute. */
export function translate(root) {
  for (const element of root.querySelectorAll("*")) {
    for (const [name, key] of Object.entries(element.dataset)) {
      if (name === "t") element.prepend(t(key));
      else if (/^t[A-Z]/.test(name)) element.setAttribute(name.slice(1).replace(/[A-Z]/g, (letter, at) => (at ? "-" : "") + letter.toLowerCase()), t(key));
    }
  }
}

/** Takes another language: the page is opened again in it. */
export function speak(code) {
  keep(KEY, code);
  location.reload();
}

// ---- Numbers, times and names.

/** A number with so many digits after its point, which is a comma in some languages. */
export const decimal = (number, digits) => number.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });

/** A time in seconds. */
export function span(seconds) {
  if (seconds < 90) return t("time.seconds", Math.max(1, Math.round(seconds)));
  if (seconds < 5400) return t("time.minutes", Math.round(seconds / 60));
  const hours = Math.round(seconds / 360) / 10;
  return hours < 72 ? t("time.hours", decimal(hours, hours < 10 && hours % 1 ? 1 : 0)) : t("time.days", Math.round(hours / 24));
}

/** A number of bytes: the rule of `base::bytes::size` in the engine, which runs in the Worker, in the visitor's language. */
export function size(bytes) {
  const megabytes = bytes / 1e6;
  if (megabytes < 1) return `${Math.ceil(bytes / 1000)} kB`;
  return megabytes < 999.5 ? `${decimal(megabytes, megabytes < 9.95 ? 1 : 0)} MB` : `${decimal(megabytes / 1000, 2)} GB`;
}

export const png = (bytes) => new Blob([bytes], { type: "image/png" });

/** A name for a file. */
export const fileStem = (text) => text.replace(/[^\p{L}\p{N}_-]/gu, "") || "word";
