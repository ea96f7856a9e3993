// One's own picture beside what the model makes: which one can be chosen.

import { $, h } from "../base/dom.js";
import { t } from "../base/text.js";
import { cropped } from "./cropped.js";

function show(picture) {
  $("own-shown").replaceChildren(...(picture ? [cropped(picture, picture.name)] : []));
  for (const choice of $("own-choice").children) choice.setAttribute("aria-pressed", choice.dataset.name === picture?.name);
}

/** Shows the pictures of a run. */
export function showOwn(pictures) {
  const choice = (picture) => h("button", {
    type: "button", class: "thumb", "data-name": picture.name, "aria-label": t("learn.ownOf", picture.name), title: picture.name, onclick: () => show(picture),
  }, cropped(picture, ""));
  $("own-choice").replaceChildren(...(pictures.length > 1 ? pictures.map(choice) : []));
  show(pictures[0]);
}
