// The settings on the page. Choices and defaults come from the engine; what a setting is called is in www/text, and the engine's
// sentences use it.

import { decimal, familyName, t } from "./text.js";

/** Samples of a step where that is left to the engine. */
export const SAMPLES = 4;

/** What the page calls its settings, by their keys in settings files. */
export function labels() {
  return Object.fromEntries([...document.querySelectorAll("[data-setting]")].map((label) => [label.dataset.setting, label.firstChild.textContent.trim()]));
}

/** The files that words can be given away as, `[{value, label, ending}]`: those for one text encoder, and for two. */
let given = [[], []];

/** Those that a word can be given away as. */
export const formats = ({ widths }) => given[widths?.length > 1 ? 1 : 0];

/** Steps of learning that are usual for each kind of models, by its short name. */
export let usualSteps;

/** What was typed in a field, or chosen. */
export const typedIn = ({ value, dataset }) => (value === dataset.usual ? "" : value);

/** Settings that follow the model. */
const FOLLOWING = ["steps", "vectors", "guidance", "sampler"];

/** What a choice is called, or a number as it is written here. */
const called = ({ options = [] }, value) => [...options].find((one) => one.value === value)?.text ?? decimal(value, value % 1 ? 1 : 0);

/** Fills in settings by the forms that they are in, where nothing else was typed, and says which of them are usual for which models. */
function offer({ settings, usualFor } = {}) {
  for (const form in settings) {
    const usually = [];
    for (const { control, dataset, firstChild } of document.querySelectorAll(`#${form} [data-setting]`)) {
      const usual = settings[form][dataset.setting] ?? "";
      if (usual === "") continue;
      control.value = typedIn(control) || usual;
      control.dataset.usual = usual;
      if (FOLLOWING.includes(dataset.setting)) usually.push(`${firstChild.textContent.trim()} ${called(control, usual)}`);
    }
    const place = document.querySelector(`#${form} .usual`);
    if (place) place.textContent = t("page.usual", { family: familyName(usualFor), list: usually.join(", ") });
  }
}

/** Shows what is only for models with two text encoders, for those with layers to choose from and for those without, and hides the rest; `facts`
 * are the engine's, of the model that is loaded. */
export function offerFor(facts) {
  // What is usual for the model follows it.
  offer(facts);
  const offered = { two: facts?.widths?.length > 1, layers: !facts || facts.clipLayers, noLayers: facts && !facts.clipLayers };
  for (const place of document.querySelectorAll("[data-where]")) place.hidden = !offered[place.dataset.where];
}

/** What is chosen in a field, or will be once the engine has said what there is; nothing if it has no effect. */
export function chosen(id) {
  const field = document.getElementById(id);
  return field.closest("label").hidden ? "" : (field.length === 0 && field.dataset.wanted) || field.value;
}

/** Makes a choice, also before there is one. */
export function choose(id, value) {
  const field = document.getElementById(id);
  if (value !== undefined) field.value = field.dataset.wanted = value;
}

/** Fills the forms; what has been typed already stays. */
export function fill(choices) {
  usualSteps = choices.steps;
  given = [choices.formats, choices.formatsOfTwo ?? []];
  document.getElementById("hub").placeholder = choices.hub;
  for (const { control, dataset: { setting } } of document.querySelectorAll("[data-setting]")) {
    if (!(control instanceof HTMLSelectElement) || control.options.length > 0) continue;
    const names = t("models.choices")[setting] ?? {};
    control.append(...choices[setting].map(({ value, label }) => new Option(names[value] ?? label, value, false, value === control.dataset.wanted)));
  }
  offer(choices);
}
