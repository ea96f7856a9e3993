// What pictures are made with, as the form has it, as the engine wants it, and in words.

import { $, h } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { choose, chosen } from "../base/settings.js";
import { t } from "../base/text.js";

/** The fields of the form that are numbers, by what the engine calls them. */
const NUMBERS = { steps: "make-steps", guidance: "guidance", "clip-skip": "clip-skip" };

/** Those that are choices. */
const CHOICES = { "empty-negative": "empty-negative", pooling: "make-pooling", sampler: "sampler", "prompt-syntax": "prompt-syntax" };

/** What settings do not have where it made no difference. Before there were languages of prompts, brackets were text. */
const ABSENT = { "clip-skip": 1, "empty-negative": "", pooling: "end", "prompt-syntax": "plain" };

const SYNTAX = "pseudoword-prompt-syntax";

/** The language that prompts are read in. */
export const syntax = () => chosen("prompt-syntax") || undefined;

/** Remembers that language over visits; `changed` is called when it is another. */
export function chooseSyntax(changed) {
  choose("prompt-syntax", recall(SYNTAX));
  $("prompt-syntax").addEventListener("change", () => {
    keep(SYNTAX, syntax());
    changed();
  });
}

/** Offers the sizes that a model is usually asked for: `facts` are the engine's. */
export function offerSizes({ usual = [] } = {}) {
  if ($("make-sizes").children.length !== usual.length) $("make-sizes").replaceChildren(...usual.map((size) => h("option", { value: size.join(" x ") })));
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

const number = (id) => (chosen(id).trim() === "" ? undefined : Number(chosen(id)));

/** The choice that a sampler is, with the spacing of its noise levels. */
const samplerOf = ({ sampler, karras }) => (karras ? `${sampler} karras` : sampler);

/** What people call it. */
export const samplerName = (config) => textOf("sampler", samplerOf(config));

/** The settings in the form; what is left empty has the engine's default. */
export function formSettings() {
  const negative = $("negative").value.trim();
  const of = (fields, value) => Object.entries(fields).map(([name, id]) => [name, value(id)]);
  const given = [...of(NUMBERS, number), ...of(CHOICES, chosen)].filter(([, value]) => value !== undefined && value !== "");
  const all = { ...Object.fromEntries(given), ...typedSize(), ...(negative && { "negative-prompt": negative }) };
  const [sampler, karras] = all.sampler?.split(" ") ?? [];
  return karras ? { ...all, sampler, karras: true } : all;
}

/** The first seed: -1, and nothing, draw one of those that other programs draw from. */
export function firstSeed() {
  const typed = number("make-seed");
  return typed === undefined || typed === -1 ? crypto.getRandomValues(new Uint32Array(1))[0] : typed;
}

/** Puts settings into the form. */
export function fillIn({ prompt, config, without }, seed) {
  const all = { ...ABSENT, ...config, sampler: samplerOf(config) };
  $("prompt").value = prompt;
  // What is not said is as is usual for the model.
  for (const [name, id] of Object.entries({ ...NUMBERS, ...CHOICES })) choose(id, all[name] ?? $(id).dataset.usual);
  $("make-size").value = sizeOf(config) ?? "";
  $("negative").value = config["negative-prompt"] ?? "";
  if (seed !== undefined) $("make-seed").value = seed;
  $("compare").checked = without !== undefined;
}

/** Gives what puts the form back as it is now. */
export function asItIs() {
  const fields = [...$("make").elements].filter(({ type }) => type !== "file").map((field) => [field, field.value, field.checked]);
  return () => fields.forEach(([field, value, checked]) => Object.assign(field, { value, checked }));
}

/** What a choice is called. */
const textOf = (id, value) => value && [...$(id).options].find((option) => option.value === value)?.textContent;

/** The settings of pictures: `[[what, value]]`. */
function settingsOf({ config, model, sampler }) {
  return [
    [t("make.negative"), config["negative-prompt"]], [t("make.steps"), config.steps], [t("make.guidance"), config.guidance],
    [t("make.sampler"), sampler ?? config.sampler], [t("make.size"), sizeOf(config)], [t("make.model"), model],
    [t("make.clipSkip"), config["clip-skip"] > 1 ? config["clip-skip"] : undefined],
    [t("make.syntax"), config["prompt-syntax"] === "a1111" ? undefined : (textOf("prompt-syntax", config["prompt-syntax"]) ?? config["prompt-syntax"])],
    [t("make.emptyNegative"), textOf("empty-negative", config["empty-negative"])], [t("learn.pooling"), config.pooling === "end" ? undefined : textOf("make-pooling", config.pooling)],
  ].filter(([, value]) => value !== undefined && value !== "");
}

/** The settings of pictures in a line. */
export const settingsLine = (settings) => settingsOf(settings).map(([what, value]) => (typeof value === "number" ? `${what} ${value}` : value)).join(" · ");

/** The settings of a picture in a list. */
export function settingsTable(settings, seed) {
  return h("dl", { class: "view-settings" }, settingsOf(settings).concat([[t("make.seed"), seed]]).map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, `${value}`))));
}
