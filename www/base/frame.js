// What is around the rooms: language, light or dark, what keeps the page from working, and what it needs to work without a network.

import { $, h } from "./dom.js";
import { keep, recall } from "./memory.js";
import { language, languages, speak, translate } from "./text.js";
import { script } from "./trusted.js";

const THEME = "pseudoword-theme";

function light() {
  const root = document.documentElement;
  root.dataset.theme = recall(THEME) ?? "";
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep(THEME, root.dataset.theme);
  });
}

/** Makes the frame work. Nothing is seen until `data-ready` says that what is in it works, too. */
export function frame() {
  document.documentElement.lang = language;
  translate(document.body);
  light();
  $("language").append(...Object.entries(languages).map(([code, name]) => h("option", { value: code, selected: code === language }, name)));
  $("language").addEventListener("change", ({ target }) => speak(target.value));
  // Only where tools/web/assemble put it: a page served from the sources must never be an old copy.
  if (document.documentElement.dataset.offline !== undefined) {
    // Without it the page works too, but needs a network.
    navigator.serviceWorker?.register(script(new URL("offline.js", document.baseURI))).catch(() => {});
  }
}
