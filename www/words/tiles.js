// The shelf as it is seen: a tile for each word, with its picture, and what was removed and can be put back.

import { $, about, button, h, iconButton, image, release, swatch } from "../base/dom.js";
import { familyName, t } from "../base/text.js";
import { fits } from "../models/kinds.js";

const PLUS = "M12 5v14M5 12h14";

/** The picture of a word, or what stands for it. */
export const face = ({ picture, token }) => (picture ? image(picture, "", { class: "picture" }) : swatch(token));

function tile(word, { open, use }) {
  const { token, usable, reason, file, family } = word;
  const unusable = usable === false;
  const other = !fits(word) && h("small", {}, unusable ? t("words.unusable") : t("words.onlyFor", familyName(family)));
  return h("li", { "data-token": token, "data-file": file, class: unusable ? "word unusable" : "word" },
    h("button", { type: "button", class: "word-open", title: reason, onclick: () => open(word) },
      face(word), h("code", {}, token), " ", other, h("span", { class: "unseen" }, ` ${t("words.details")}`)),
    !other && iconButton(PLUS, about(t("words.use"), token), () => use(word), { kind: "word-use icon" }),
  );
}

/** Draws everything. The focus stays on the same word. */
export function drawShelf(all, actions) {
  const focused = document.activeElement?.closest?.("#words [data-file]");
  const [file, which] = [focused?.dataset.file, document.activeElement?.className];
  const here = all.filter(({ removed }) => !removed);
  for (const item of [...$("words").children]) release(item);
  $("words").append(...here.map((word) => tile(word, actions)));
  $("words").hidden = here.length === 0;
  $("words-empty").hidden = here.length > 0;
  if (file) [...$("words").querySelectorAll(`[data-file="${CSS.escape(file)}"] button`)].find(({ className }) => className === which)?.focus();
  const gone = all.filter(({ removed }) => removed);
  $("words-removed").hidden = gone.length === 0;
  $("removed").replaceChildren(...gone.map((word) => h("li", {}, h("code", { class: "line-text" }, word.token), h("span", { class: "row" },
    button(t("words.putBack"), () => actions.restore(word), { of: word.token }),
    button(t("words.forget"), (event) => sure(event.target, () => actions.forget(word)), { of: word.token, kind: "plain" })))));
}

/** A button that has to be pressed again, knowing what is lost. */
function sure(pressed, work) {
  const again = button(t("words.sure"), work, { kind: "danger" });
  pressed.replaceWith(again);
  again.focus();
}
