// A picture for what has none: a colour and a letter of its own, the same every time.

import { h } from "./dom.js";

/** The hue of a name. */
function hue(name) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

export function swatch(name) {
  const letter = /[\p{L}\p{N}]/u.exec(name.split("/").at(-1))?.[0] ?? "·";
  const element = h("span", { class: "swatch", "aria-hidden": "true" }, letter.toUpperCase());
  element.style.setProperty("--hue", hue(name));
  return element;
}
