// What the room of models shows: one thing at a time, and in the bar at the top what the engine is at.

import { $, h, swatch } from "../base/dom.js";
import { copyLink, onChange, say, studio } from "../base/studio.js";
import { t } from "../base/text.js";

const PARTS = { none: "model-none", plan: "plan", fetching: "fetching", loading: "fetching", ready: "model-facts" };

/** What is going on: `what` is one of those above, `"looking"` or `"broken"`; `name` the model it is about, `done` how much of it. */
const state = { what: "none", name: undefined, done: undefined };

/** What a model is called. */
export const called = (name) => (name === "mini" ? t("models.mini") : name);

/** Shows another state. */
export function turnModel(what, about = {}) {
  const same = state.what === what && state.name === about.name;
  Object.assign(state, { name: undefined, done: undefined }, about, { what });
  if (!same) {
    for (const id of new Set(Object.values(PARTS))) $(id).hidden = id !== PARTS[what];
    $("fetch-stop").parentElement.hidden = what !== "fetching";
    head();
  }
  chip();
}

/** Whether a model is being brought or loaded. */
export const isComing = () => ["looking", "fetching", "loading"].includes(state.what);

/** Back to what there is. */
export const settle = () => turnModel(studio.model ? "ready" : "none", { name: studio.model });

/** The head of the card: which model, and what is known of it in a line. */
function head() {
  const { name = "mini" } = state;
  const [owner, ...rest] = name === "mini" ? ["", t("models.mini")] : name.includes("/") ? name.split("/") : ["", name];
  $("model-card").replaceChildren(
    swatch(name),
    h("div", {}, h("p", { class: "model-name" }, rest.join("/")), h("p", { class: "quiet" }, owner ? t("models.by", owner) : ""), h("p", { id: "model-family", class: "quiet" }), h("p", { id: "model-line", class: "quiet" }, t(`models.is.${state.what}`)),
      state.what === "ready" && owner && copyLink("model", name)),
  );
}

/** A line under the model's name. */
export const sayModel = (text) => say("model-line", text);

/** Which kind of model it is. */
export const sayFamily = (text) => say("model-family", text);

function chip() {
  const { what, done, name } = state;
  const working = what === "ready" && studio.busy && !studio.paused;
  const place = $("engine-status");
  place.dataset.state = working ? "working" : what;
  const text = t(`models.chip.${working ? "working" : what}`, { name: name && called(name.split("/").at(-1)), percent: done === undefined ? "" : t("time.share", Math.floor(done * 100)) });
  if (place.textContent !== text) place.textContent = text;
}

/** Makes the card and the chip work. */
export function showState() {
  head();
  chip();
  onChange(() => {
    // The engine broke.
    if (!studio.client && studio.started === undefined && state.what === "ready") turnModel("broken", { name: state.name });
    chip();
  });
}
