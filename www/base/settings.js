// The settings on the page. Choices and defaults come from the engine; what a setting is called is in www/text, and the engine's
// sentences use it.

import { t } from "./text.js";

/** Samples of a step where that is left to the engine. */
export const SAMPLES = 4;

/** Everything that names a setting: `data-setting` is its key in settings files. */
const labelled = (place) => [...place.querySelectorAll("[data-setting]")];

/** What the page calls its settings, by their keys. */
export function labels() {
  return Object.fromEntries(labelled(document).map((label) => [label.dataset.setting, label.firstChild.textContent.trim()]));
}

/** The files that words can be given away as, `[{value, label, ending}]`: those for one text encoder, and for two. */
let given = [[], []];

/** Those that a word can be given away as. */
export const formats = ({ widths }) => given[widths?.length > 1 ? 1 : 0];

/** Shows what is only for models with two text encoders, for those with layers to choose from and for those without, and hides the rest; `facts`
 * are the engine's, of the model that is loaded. */
export function offerFor(facts) {
  const offered = { two: facts?.widths?.length > 1, layers: !facts || facts.clipLayers, noLayers: facts && !facts.clipLayers };
  for (const place of document.querySelectorAll("[data-where]")) place.hidden = !offered[place.dataset.where];
}

/** What is chosen in a field, or will be once the engine has said what there is; nothing if it has no effect. */
export function chosen(id) {
  const field = document.getElementById(id);
  return field.closest("label").hidden ? "" : (!field.length && field.dataset.wanted) || field.value;
}

/** Makes a choice, also before there is one. */
export function choose(id, value) {
  const field = document.getElementById(id);
  if (value !== undefined) field.value = field.dataset.wanted = value;
}

/** Fills the forms; what has been typed already stays. */
export function fill(choices) {
  given = [choices.formats, choices.formatsOfTwo ?? []];
  document.getElementById("hub").placeholder = choices.hub;
  for (const [form, defaults] of [["learn", choices.training], ["make", choices.pictures], ["computing", choices.computing]]) {
    for (const label of labelled(document.getElementById(form) ?? document.createElement("form"))) {
      const key = label.dataset.setting;
      const field = label.control;
      if (field instanceof HTMLSelectElement && field.options.length === 0) {
        const called = t("models.choices")[key] ?? {};
        field.append(...choices[key].map(({ value, label }) => new Option(called[value] ?? label, value, false, value === (field.dataset.wanted ?? defaults[key]))));
      } else if (field.value === "" && (defaults[key] ?? "") !== "") {
        field.value = defaults[key];
      }
    }
  }
}
