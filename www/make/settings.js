// What pictures are made with, as the form has it, as the engine wants it, and in words.

import { $, h } from "../base/dom.js";
import { chosen } from "../base/settings.js";
import { t } from "../base/text.js";

/** The fields of the form that are numbers, by what the engine calls them. */
const NUMBERS = { steps: "make-steps", guidance: "guidance" };

/** Those that have an effect only on models with two text encoders. */
const FOR_TWO = { "empty-negative": "empty-negative", pooling: "make-pooling" };

/** Sizes that SDXL was trained on: the usual ones, width first. */
const SDXL_SIZES = ["1024 x 1024", "1152 x 896", "896 x 1152", "1216 x 832", "832 x 1216", "1344 x 768", "768 x 1344", "1536 x 640", "640 x 1536"];

/** Offers the sizes that a model is usually asked for: `facts` are the engine's. */
export function offerSizes(facts) {
  const sizes = facts?.family === "SDXL" ? SDXL_SIZES : [];
  if ($("make-sizes").children.length !== sizes.length) $("make-sizes").replaceChildren(...sizes.map((value) => h("option", { value })));
}

/** Width and height of what was typed: one number stands for both. What is none is the engine's to refuse. */
function typedSize() {
  const typed = $("make-size").value.trim();
  if (!typed) return {};
  const [width = typed, height = width] = typed.match(/\d+/g) ?? [];
  return { width: Number(width), height: Number(height) };
}

/** The size of pictures in words: a number for squares. */
const sizeOf = ({ width, height = width }) => (width === height ? width : `${width} x ${height}`);

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
export const samplerName = (value) => textOf("sampler", value);

/** The settings in the form; what is left empty has the engine's default. */
export function formSettings() {
  const negative = $("negative").value.trim();
  const given = Object.entries(NUMBERS).map(([name, id]) => [name, number(id)]).filter(([, value]) => value !== undefined);
  const forTwo = Object.entries(FOR_TWO).map(([name, id]) => [name, chosen(id)]).filter(([, value]) => value !== "");
  return {
    ...Object.fromEntries(given), ...Object.fromEntries(forTwo), ...typedSize(), ...(negative && { "negative-prompt": negative }),
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
  $("make-size").value = sizeOf(config) ?? "";
  $("empty-negative").value = config["empty-negative"] ?? "";
  $("make-pooling").value = config.pooling ?? "end";
  $("negative").value = config["negative-prompt"] ?? "";
  chooseSampler(config.sampler);
  if (seed !== undefined) $("make-seed").value = seed;
  $("compare").checked = without !== undefined;
}

/** What a choice is called. */
const textOf = (id, value) => value && [...$(id).options].find((option) => option.value === value)?.textContent;

/** The settings of pictures: `[[what, value]]`. */
function settingsOf({ config, model, sampler }) {
  return [
    [t("make.negative"), config["negative-prompt"]], [t("make.steps"), config.steps], [t("make.guidance"), config.guidance],
    [t("make.sampler"), sampler ?? config.sampler], [t("make.size"), sizeOf(config)], [t("make.model"), model],
    [t("make.emptyNegative"), textOf("empty-negative", config["empty-negative"])], [t("learn.pooling"), config.pooling === "end" ? undefined : textOf("make-pooling", config.pooling)],
  ].filter(([, value]) => value !== undefined && value !== "");
}

/** The settings of pictures in a line. */
export const settingsLine = (settings) => settingsOf(settings).map(([what, value]) => (typeof value === "number" ? `${what} ${value}` : value)).join(" · ");

/** The settings of a picture in a list. */
export function settingsTable(settings, seed) {
  return h("dl", { class: "view-settings" }, settingsOf(settings).concat([[t("make.seed"), seed]]).map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, `${value}`))));
}
