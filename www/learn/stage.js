// What is large while a word is learned: the newest preview, with a slider through all of them, and beside it one's own picture, of which
// one can be chosen.

import { $, h } from "../base/dom.js";
import { png, t } from "../base/text.js";
import { say } from "../base/studio.js";
import { cropped } from "./crop.js";

/** `{step, blob, url}`, in order. */
let previews = [];
let at = -1;

function show(i) {
  at = i;
  const { step, url } = previews[i];
  const text = t("learn.previewShort", { step, n: i + 1, of: previews.length });
  Object.assign($("shown"), { src: url, alt: t("learn.previewAt", step), hidden: false });
  $("shown-empty").hidden = true;
  say("shown-caption", text);
  Object.assign($("timeline"), { max: previews.length - 1, value: i });
  $("timeline").setAttribute("aria-valuetext", text);
  $("timeline").classList.toggle("waiting", previews.length < 2);
}

/** Adds a preview, a PNG. It is shown, unless somebody looks at an earlier one. */
export function addPreview(step, bytes) {
  const blob = png(bytes);
  const follows = at === previews.length - 1;
  previews = [...previews.filter((one) => one.step < step), { step, blob, url: URL.createObjectURL(blob) }];
  show(follows ? previews.length - 1 : Math.min(at, previews.length - 1));
}

/** What a rewound run threw away is no part of it. */
export function cutPreviews(step) {
  const rest = previews.filter((one) => one.step <= step);
  if (rest.length === 0 || rest.length === previews.length) return;
  previews = rest;
  show(previews.length - 1);
}

/** All of them, as a run that goes on is given them. */
export const allPreviews = () => previews.map(({ step, blob }) => ({ step, bytes: blob }));

/** The newest preview, a PNG, and only what was drawn after a step if that is asked for; nothing if there is none. */
export const lastPreview = (step = 0) => previews.findLast((one) => one.step >= step)?.blob;

/** Says so where all that was drawn is from before learning. */
export const sayUnlearned = () => lastPreview() && !lastPreview(1) && say("shown-caption", t("learn.onlyBefore"));

export function clearPreviews() {
  for (const { url } of previews) URL.revokeObjectURL(url);
  [previews, at] = [[], -1];
  $("shown").hidden = true;
  $("shown-empty").hidden = false;
  $("timeline").classList.add("waiting");
  say("shown-caption");
  say("shown-empty", t("learn.before"));
}

/** Makes the slider work. */
export function timeline() {
  $("timeline").addEventListener("input", ({ target }) => previews.length > 0 && show(Number(target.value)));
  $("shown").addEventListener("load", () => {
    if (performance.getEntriesByName("pseudoword:preview").length === 0) performance.mark("pseudoword:preview");
  });
  clearPreviews();
}

function showPicture(picture, at) {
  $("own-shown").replaceChildren(...(picture ? [cropped(picture, picture.name)] : []));
  for (const [i, choice] of [...$("own-choice").children].entries()) choice.setAttribute("aria-pressed", i === at);
}

/** Shows the pictures of a run. */
export function showOwn(pictures) {
  const choice = (picture, i) => h("button", {
    type: "button", class: "thumb", "aria-label": t("learn.ownOf", picture.name), title: picture.name, onclick: () => showPicture(picture, i),
  }, cropped(picture, ""));
  $("own-choice").replaceChildren(...(pictures.length > 1 ? pictures.map(choice) : []));
  showPicture(pictures[0], 0);
}
