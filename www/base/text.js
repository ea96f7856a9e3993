// What the page says, in the visitor's language: every sentence of the page's own is in www/text. What the engine says is in English.

import english from "../text/en.js";

/** The languages that there is a file for, by their codes, and what their speakers call them. */
export const languages = { en: "English", de: "Deutsch" };

const KEY = "pseudoword-language";

/** The code of the language that is used. */
export const language = [localStorage.getItem(KEY), ...navigator.languages.map((code) => code.slice(0, 2))].find((code) => code in languages) ?? "en";

const translated = language === "en" ? english : (await import(`../text/${language}.js`)).default;

const find = (catalogue, key) => key.split(".").reduce((part, name) => part?.[name], catalogue);

/** What is said by a key (`"learn.pause"`); where that is a function, it gets `about`. */
export function t(key, about) {
  const found = find(translated, key) ?? find(english, key);
  if (found === undefined) throw new Error(`there is no text ${key}`);
  return typeof found === "function" ? found(about) : found;
}

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
  localStorage.setItem(KEY, code);
  location.reload();
}
