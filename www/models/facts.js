// What the page shows of the loaded model, and the memory that work with it takes.

import { $, h } from "../base/dom.js";
import { size, t } from "../base/text.js";
import { ask, call, onChange, studio } from "../base/studio.js";
import { sayFamily } from "./state.js";

/** Milliseconds between two looks at the memory while something is done. */
const OFTEN = 2000;

const fact = (key, value, id) => h("div", {}, h("dt", {}, t(`models.facts.${key}`)), h("dd", { id }, value));

/** Bytes of the engine's own memory in this page; not asked for while nothing runs. */
async function memory() {
  if (!studio.model) return;
  const bytes = await ask("memory").catch(() => undefined);
  const place = $("model-memory");
  if (bytes && place) place.textContent = size(bytes);
}

/** What a training with the settings as they are by default would take of the graphics memory. */
async function need() {
  const found = await call("engine.need", { token: "<word>" }).catch(() => undefined);
  return found && size(found.bytes);
}

/** Fills the card of the loaded model. */
export async function showFacts() {
  const facts = await call("engine.facts").catch(() => undefined);
  const rows = [];
  if (facts) {
    sayFamily(t("models.madeFor", facts));
    const teaching = await need();
    rows.push(fact("weights", size(facts.weights)));
    if (teaching) rows.push(fact("teaching", teaching));
  }
  $("model-facts").replaceChildren(...rows, fact("memory", "…", "model-memory"));
  await memory();
}

let timer;
onChange(() => {
  clearInterval(timer);
  if (studio.busy && studio.model) timer = setInterval(() => document.hidden || memory(), OFTEN);
  else if (studio.model) memory();
});
