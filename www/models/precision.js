// In which precision the engine makes matrix products: what is asked for, and what is done.

import { $ } from "../base/dom.js";
import { call, onChange, say, studio, using } from "../base/studio.js";
import { t } from "../base/text.js";

/** What is asked for; nothing until the engine has said what there is. */
let asked;

/** The precision to load a model with. */
export const askedPrecision = () => asked;

/** Shows how products are made, as the engine says it. */
export const sayPrecision = (reason) => say("precision-note", t("models.products", reason));

/** Offers what this graphics adapter can do; the engine is there. */
export async function offerPrecision() {
  asked ??= $("precision").value;
  const half = $("precision").querySelector("[value=f16]");
  half.disabled = !(await call("engine.hasHalves"));
  half.label = half.disabled ? t("models.noHalves", half.text) : half.text;
}

/** Takes what was chosen; if it cannot be had, what was asked for before stays. */
async function choose() {
  // Without a model it counts when one is loaded.
  if (studio.model) {
    try {
      sayPrecision(await call("engine.choosePrecision", $("precision").value));
    } catch (error) {
      $("precision").value = asked;
      throw error;
    }
  }
  asked = $("precision").value;
}

/** Makes the choice work. */
export function precisionChoice() {
  $("precision").addEventListener("change", () => using("model-problem", choose));
  onChange(() => ($("precision").disabled = studio.busy || $("precision").options.length === 0));
}
