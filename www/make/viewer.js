// A picture, large, with its settings; arrow keys go to its neighbours.

import { h } from "../base/dom.js";
import { t } from "../base/text.js";
import { drawnButton, forgetImages, bareButton, marked } from "./parts.js";
import { settingsTable } from "./settings.js";
import { copy, download, shotImages, shots } from "./shot.js";

let dialog, element, actions;

/** All pictures of the gallery, as they stand there. */
const all = () => [...document.querySelectorAll("#sets .shot")].filter((one) => shots.has(one));

function go(by) {
  const elements = all();
  const next = elements[elements.indexOf(element) + by];
  if (!next) return;
  const focused = document.activeElement?.dataset.go;
  show(next);
  (dialog.querySelector(`[data-go="${focused ?? by}"]:not(:disabled)`) ?? dialog.querySelector(".shut")).focus();
}

function arrow(by, label) {
  const elements = all();
  const to = bareButton(by < 0 ? "before" : "after", label, () => go(by));
  to.dataset.go = by;
  to.disabled = !elements[elements.indexOf(element) + by];
  return to;
}

/** Shows one picture in the dialog. */
function show(which) {
  element = which;
  const { set, shot } = shots.get(element);
  const leave = (action) => () => {
    dialog.close();
    action();
  };
  forgetImages(dialog);
  dialog.replaceChildren(
    h("div", { class: "view-picture" }, arrow(-1, t("make.before")), h("div", { class: "view-frame" }, shotImages(set, shot)), arrow(1, t("make.after"))),
    h("div", { class: "view-about" },
      h("div", { class: "view-head" },
        h("h2", { id: "view-title" }, set.settings.prompt ? marked(set.settings.prompt) : t("make.noPrompt")),
        Object.assign(bareButton("close", t("make.close"), () => dialog.close()), { className: "icon shut" })),
      settingsTable(set.settings, shot.seed),
      h("div", { class: "row" },
        drawnButton("again", t("make.again"), leave(() => actions.again(set.settings, shot.seed))),
        drawnButton("vary", t("make.vary"), leave(() => actions.vary(set.settings, [shot]))),
        drawnButton("save", t("make.save"), () => download(set, shot, "view-said")),
        drawnButton("copy", t("make.copy"), () => copy(set, shot, "view-said")),
        drawnButton("remove", t("make.remove"), leave(() => actions.discard(set, [shot])))),
      h("p", { id: "view-said", class: "said", role: "status" })));
}

function make() {
  dialog = h("dialog", { class: "viewer", "aria-labelledby": "view-title" });
  dialog.addEventListener("keydown", (event) => {
    // On the slider they move it.
    if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  // Beside the picture is outside of it.
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    forgetImages(dialog);
    dialog.replaceChildren();
    // To the picture that was seen last, which need not be the one that was opened; unless something was done with it, which has
    // put the focus elsewhere.
    const active = document.activeElement;
    if (active === document.body || active.closest(".shot")) element.querySelector("button, input")?.focus();
  });
  document.body.append(dialog);
}

/** Opens the large view of a picture in the gallery; `handlers` are `{discard, again, vary}`. */
export function view(which, handlers) {
  if (!dialog) make();
  actions = handlers;
  dialog.showModal();
  show(which);
  dialog.querySelector(".shut").focus();
}
