// What pictures are made with, as the form has it, as the engine wants it, and in words.

import { $, h } from "../base/dom.js";
import { t } from "../base/text.js";

/** The fields of the form that are numbers, by what the engine calls them. */
const NUMBERS = { steps: "make-steps", guidance: "guidance" };

const number = (id) => ($(id).value.trim() === "" ? undefined : Number($(id).value));

/** The sampler that is chosen, or will be as soon as the engine has said which ones there are. */
const sampler = () => $("sampler").value || $("sampler").dataset.wanted;

/** Chooses a sampler as soon as there is a choice. */
export function chooseSampler(value = $("sampler").dataset.wanted) {
  if (!value) return;
  $("sampler").dataset.wanted = value;
  if ($("sampler").options.length === 0) return;
  $("sampler").value = value;
  delete $("sampler").dataset.wanted;
}

/** What people call a sampler. */
export const samplerName = (value) => [...$("sampler").options].find((option) => option.value === value)?.textContent;

/** The settings in the form; what is left empty has the engine's default. */
export function formSettings() {
  const side = number("make-side");
  const negative = $("negative").value.trim();
  const given = Object.entries(NUMBERS).map(([name, id]) => [name, number(id)]).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given), ...(side && { width: side, height: side }), ...(negative && { "negative-prompt": negative }),
    ...(sampler() && { sampler: sampler() }),
  };
}

/** The first seed: -1, and nothing, draw one of those that other programs draw from. */
export function firstSeed() {
  const typed = number("make-seed");
  return typed === undefined || typed === -1 ? crypto.getRandomValues(new Uint32Array(1))[0] : typed;
}

/** Puts settings into the form. */
export function fillIn({ prompt, config, without }, seed) {
  $("prompt").value = prompt;
  for (const [name, id] of Object.entries(NUMBERS)) if (config[name] !== undefined) $(id).value = config[name];
  $("make-side").value = config.width ?? "";
  $("negative").value = config["negative-prompt"] ?? "";
  chooseSampler(config.sampler);
  if (seed !== undefined) $("make-seed").value = seed;
  $("compare").checked = without !== undefined;
}

/** The settings of pictures: `[[what, value]]`. */
function settingsOf({ config, model, sampler }) {
  return [
    [t("make.negative"), config["negative-prompt"]], [t("make.steps"), config.steps], [t("make.guidance"), config.guidance],
    [t("make.sampler"), sampler ?? config.sampler], [t("make.side"), config.width], [t("make.model"), model],
  ].filter(([, value]) => value !== undefined && value !== "");
}

/** The settings of pictures in a line. */
export const settingsLine = (settings) => settingsOf(settings).map(([what, value]) => (typeof value === "number" ? `${what} ${value}` : value)).join(" · ");

/** The settings of a picture in a list. */
export function settingsTable(settings, seed) {
  return h("dl", { class: "view-settings" }, settingsOf(settings).concat([[t("make.seed"), seed]]).map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, `${value}`))));
}
