// Small things that several modules of the room draw.

import { about, h, icon, iconButton } from "../base/dom.js";
import { t } from "../base/text.js";

const DRAWINGS = {
  large: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  close: "M6 6l12 12M18 6 6 18",
  before: "M15 5l-7 7 7 7",
  after: "M9 5l7 7-7 7",
  again: "M4 11a8 8 0 1 1 2 6M4 5v6h6",
  vary: "M4 7h3c5 0 5 10 10 10h3M4 17h3c2 0 3-2 4-4M13 9c1-1 2-2 4-2h3M18 4l3 3-3 3M18 14l3 3-3 3",
};

/** A button that is only one of these. */
export const bareButton = (name, label, onclick) => iconButton(DRAWINGS[name], label, onclick);

/** A button with a drawing before its text; `of` is which thing it is about. */
export function drawnButton(name, text, onclick, of) {
  return h("button", { type: "button", class: "drawn", "aria-label": of && about(text, of), onclick }, icon(DRAWINGS[name]), text);
}

const WORD = /<[^<>\s]+>/g;

/** The names in a text that look like learned words. */
export const namesIn = (text) => [...new Set(text.match(WORD) ?? [])];

/** A prompt with the learned words in it marked. */
export function marked(prompt) {
  const parts = [];
  let end = 0;
  for (const { 0: word, index } of prompt.matchAll(WORD)) {
    parts.push(prompt.slice(end, index), h("mark", {}, word));
    end = index + word.length;
  }
  return [...parts, prompt.slice(end)].filter((part) => part !== "");
}

/** Two pictures one upon the other, and a slider that moves the edge between them. `without` and `shown` are images. */
export function compared(without, shown, prompt) {
  const pair = h("div", { class: "pair" });
  const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": t("make.slide", prompt) });
  const show = () => {
    pair.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", t("make.slid", 100 - slider.value));
  };
  slider.addEventListener("input", show);
  show();
  shown.classList.add("over");
  const tag = (side, text) => h("span", { class: `tag ${side}`, "aria-hidden": "true" }, text);
  pair.append(without, shown, h("span", { class: "edge", "aria-hidden": "true" }), tag("start", t("make.withoutWord")), tag("end", t("make.withWord")), slider);
  return pair;
}

// ---- Images that hold memory only while they are in view: their files stay in the storage until then.

/** What each image shows: a function that gives its file. */
const files = new WeakMap();
const near = new WeakSet();

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) appear(target);
    else vanish(target);
  }
}, { rootMargin: "400px", scrollMargin: "400px" });

async function appear(img) {
  near.add(img);
  if (img.src) return;
  const file = await files.get(img)().catch(() => undefined);
  if (file && near.has(img) && !img.src) img.src = URL.createObjectURL(file);
}

function vanish(img) {
  near.delete(img);
  if (!img.src) return;
  URL.revokeObjectURL(img.src);
  img.removeAttribute("src");
}

/** An image of a file that `file()` gives when it is needed. */
export function lazyImage(file, alt) {
  const img = h("img", { alt, decoding: "async" });
  files.set(img, file);
  watch.observe(img);
  return img;
}

/** Gives back what the images in an element hold, before it is removed. */
export function forgetImages(element) {
  for (const img of element.querySelectorAll("img")) {
    watch.unobserve(img);
    vanish(img);
  }
}

/** After an element was put back. */
export function watchImages(element) {
  for (const img of element.querySelectorAll("img")) if (files.has(img)) watch.observe(img);
}
