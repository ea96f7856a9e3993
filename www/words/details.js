// A word looked at closely: what it is beside the model's own words; using, renaming, giving away, and taking it from the shelf.

import { $, button, h, release, save, terms } from "../base/dom.js";
import { decimal, familyName, t } from "../base/text.js";
import { add, call, client, copyLink, using, warn } from "../base/studio.js";
import { formats } from "../base/settings.js";
import { fits, modelFor } from "../models/kinds.js";
import { lookUp } from "../models/models.js";
import { face } from "./tiles.js";

/** A word that is so many times as long as the model's own may drown out others: the engine's rule. */
export const LONG = 10;

/** How strong a word is beside ordinary ones. */
function strength({ norm, typical }) {
  if (norm === undefined) return undefined;
  const number = decimal(norm, 2);
  if (!typical) return number;
  const times = norm / typical;
  return t(times < 1.5 ? "words.strength.usual" : times <= LONG ? "words.strength.strong" : "words.strength.over", { norm: number, typical: decimal(typical, 2) });
}

/** What a word that was tried is worth, as the engine found it, in the page's words. */
export const worth = (quality) => t("learn.quality", quality);

/** What a word may be of; repositories may say anything. */
const KINDS = { object: t("learn.object"), style: t("learn.style") };

/** What is known of a word, as a list of facts. */
export function factsOf(word) {
  const { vectors, width, widths = [width], family, format, kind, licence, origin, prompt, quality } = word;
  const facts = {
    kind: KINDS[kind] ?? kind, for: family && `${familyName(family)}${width ? ` (${widths.join(" + ")})` : ""}`, vectors, strength: strength(word), quality: quality && worth(quality), format, licence, origin, prompt,
  };
  return h("dl", { class: "facts" }, terms(facts, (key) => t(`words.facts.${key}`)));
}

/** The vocabulary's words that it lies closest to, of each text encoder: found when they are first looked at, because that takes a while. */
function nearest(word) {
  if (!word.usable) return false;
  const list = h("div", { class: "nearest" });
  const near = ({ word, similarity }) => h("li", { class: "chip" }, word, h("small", {}, t("time.share", Math.round(similarity * 100))));
  const fill = (words) => list.replaceChildren(...Object.entries(Object.groupBy(words, ({ encoder = "" }) => encoder)).flatMap(([encoder, words]) => [
    encoder && h("p", { class: "said" }, t(`words.encoders.${encoder}`)), h("ul", { class: "plain row" }, ...words.map(near)),
  ].filter(Boolean)));
  if (word.nearest) fill(word.nearest);
  else call("engine.about", word.token).then(({ nearest: words = [] }) => fill((word.nearest = words)), () => {});
  return h("div", {}, h("h3", {}, t("words.nearest")), list);
}

/** Buttons that give a word away: one for each format that `wanted` says; what goes wrong is said at `place`. `filesOf` is the shelf's. */
export function giving(word, place, filesOf, wanted = () => true) {
  // For two text encoders kohya's file is the same as the one that all other programs read.
  const own = t(word.widths?.length > 1 ? "words.forTwo" : "words.forOne");
  return formats(word).filter(({ value }) => wanted(value) && own[value] !== "").map((format) => {
    const program = own[format.value] ?? format.label;
    return button(program, () => using(place, async () => {
      for (const { name, bytes } of await filesOf(word, format)) save(bytes, name);
    }), { label: t("words.downloadFor", { token: word.token, program }) });
  });
}

/** The files that it can be given away as. */
function exports(word, { filesOf }, again) {
  const asItCame = button(t("words.asItCame"), () => using("details-problem", async () => save(await word.read(), word.name ?? word.file)),
    { label: t("words.downloadFor", { token: word.token, program: t("words.asItCame") }) });
  // Which layouts there are is the engine's to say, and nothing of it is fetched before somebody asks.
  const others = button(t("words.otherFormats"), () => using("details-problem", async () => {
    await client();
    again();
  }), { kind: "plain" });
  return h("div", {}, h("h3", {}, t("words.download")), h("p", { class: "row" }, asItCame, ...(formats(word).length > 0 ? giving(word, "details-problem", filesOf) : [others])));
}

function renaming(word, { rename }, again) {
  const field = h("input", { value: word.token, autocomplete: "off", spellcheck: false, required: true });
  return h("form", {
    class: "renaming", onsubmit: (event) => {
      event.preventDefault();
      using("details-problem", async () => {
        await rename(word, field.value.trim());
        again();
      });
    },
  }, h("label", {}, t("words.name"), " ", field), h("button", { type: "submit" }, t("words.rename")));
}

/** Takes out what is shown, and gives back the memory of its picture. */
function clear() {
  for (const part of [...$("details-body").children]) release(part);
}

/** What is worth telling about a word's file, in the page's words. */
export async function sayNotes(place, notes = []) {
  // Earlier visits kept sentences.
  for (const note of notes) await (note.code ? warn(place, note) : add(place, note));
}

/** Opens the details of a word. */
export function details(word, actions) {
  const dialog = $("word-details");
  const draw = () => {
    $("details-title").textContent = word.token;
    $("details-problem").textContent = "";
    const { name } = modelFor(word);
    const use = fits(word) ? button(t("words.use"), () => (dialog.close(), actions.use(word)), { kind: "primary" })
      : name && button(t("words.load"), () => (dialog.close(), lookUp(name)), { kind: "primary" });
    const remove = button(t("words.remove"), () => using("details-problem", async () => {
      dialog.close();
      await actions.remove(word);
    }), { kind: "plain danger-text", of: word.token });
    const repository = /^[\w.-]+\/[\w.-]+/.exec(word.origin ?? "")?.[0];
    clear();
    $("details-body").append(
      h("div", { class: "details-face" }, face(word)),
      h("div", { class: "details-text" },
        word.usable === false && h("div", { class: "verdict", "data-level": "bad", id: "details-unusable" }),
        h("div", { class: "warning", id: "details-notes" }),
        factsOf(word), nearest(word),
        h("p", { class: "row" }, use, repository && copyLink("concept", repository)),
        exports(word, actions, draw), renaming(word, actions, draw), h("p", { class: "row end" }, remove)),
    );
    if (word.usable === false) add("details-unusable", word.reason, word.more);
    sayNotes("details-notes", word.notes);
  };
  draw();
  dialog.showModal();
}

$("word-details").addEventListener("close", clear);
$("details-close").addEventListener("click", () => $("word-details").close());
