// The prompt: learned words to put into it, what the engine makes of it, and the prompts of before.

import { $, button, h } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { announce, call, onChange, say, studio } from "../base/studio.js";
import { decimal, engineText, familyName, t } from "../base/text.js";
import { fits, isOther, modelFor } from "../models/kinds.js";
import { lookUp } from "../models/models.js";
import { MINI } from "../models/state.js";
import { forgetImages, lazyImage, namesIn } from "./parts.js";
import { syntax } from "./settings.js";

const HISTORY = "pseudoword-prompts";
const MOST = 50;
/** Milliseconds without typing after which a prompt is looked at. */
const PAUSE = 200;

/** What the shelf has: `words()` of words/shelf.js. */
let shelf = () => [];

// ---- What was asked for before.

let earlier = [];
/** Which of them is in the field, and what was there before. */
let at = -1;
let draft = "";

function readHistory() {
  const kept = recall(HISTORY);
  return Array.isArray(kept) ? kept.filter((one) => typeof one === "string").slice(0, MOST) : [];
}

function showHistory() {
  $("earlier").hidden = earlier.length === 0;
  $("earlier-list").replaceChildren(...earlier.map((text) => h("li", {}, button(text, () => {
    usePrompt(text);
    $("prompt").focus();
  }, { kind: "plain" }))));
}

/** Remembers a prompt over visits, the newest first. */
export function remember(text) {
  earlier = [text, ...readHistory().filter((one) => one !== text)].slice(0, MOST);
  at = -1;
  keep(HISTORY, earlier);
  showHistory();
}

/** Arrow keys at the start and the end of the field go through the history. */
function travel(event) {
  const field = event.target;
  const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!by || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey || field.selectionStart !== field.selectionEnd) return;
  const edge = by > 0 ? 0 : field.value.length;
  // What came from the history is left at once, in either direction.
  if (field.selectionStart !== edge && (at < 0 || field.value !== earlier[at])) return;
  const to = at + by;
  if (to < -1 || to >= earlier.length) return;
  event.preventDefault();
  if (at < 0) draft = field.value;
  at = to;
  field.value = at < 0 ? draft : earlier[at];
  field.setSelectionRange(field.value.length, field.value.length);
  look();
}

// ---- What is in it.

/** Puts a word where the cursor is. */
function insert(token) {
  const field = $("prompt");
  const [start, end] = [field.selectionStart, field.selectionEnd];
  const before = /\S$/.test(field.value.slice(0, start)) ? " " : "";
  const after = /^\S/.test(field.value.slice(end)) ? " " : "";
  field.setRangeText(`${before}${token}${after}`, start, end, "end");
  field.focus();
  look();
}

/** The words that have a chip. */
let shown = [];

function chips() {
  const usable = shelf().filter(fits);
  const place = $("prompt-words");
  const same = usable.length === shown.length && usable.every(({ token, picture }, i) => token === shown[i].token && picture === shown[i].picture);
  if (same) return;
  shown = usable.map(({ token, picture }) => ({ token, picture }));
  place.hidden = usable.length === 0;
  forgetImages(place);
  place.replaceChildren(...usable.map(({ token, picture }) => {
    const chip = button(token, () => insert(token), { kind: "chip", label: t("make.insert", token) });
    if (picture) chip.prepend(lazyImage(async () => picture, ""));
    return chip;
  }));
}

/** A name as programs other than this one write it. */
const bare = (name) => name.replace(/^embedding:|[<>]|\.(pt|bin|safetensors)$/g, "");

/** The words of the shelf that are named in a text, in the way of any program; of those without brackets one that might be an ordinary word
 * is not seen. */
function wordsIn(text) {
  const parts = text.split(/[\s,;:()[\]{}]+/).map(bare);
  return shelf().filter(({ token }) => namesIn(text).includes(token) || (/^[^<>]*[^\p{L}<>][^<>]*$/u.test(token) && parts.includes(token)));
}

/** The word whose file is called as a name in a text: other programs call it so. */
const byFile = (name) => shelf().find(({ name: file = "" }) => bare(file.toLowerCase()) === bare(name.toLowerCase()))?.token;

/** What can be told without a model. */
function glance(text) {
  const words = wordsIn(text);
  return { words, unknown: namesIn(text).filter((name) => !name.includes(":") && !words.some(({ token }) => bare(token) === bare(name))).map((text) => ({ text })), notes: [] };
}

/** A word in a text that the model cannot use. */
export const misfit = (text) => wordsIn(text).find((word) => !fits(word));

/** What is asked about such a word, `{word, go}`; and the prompt that is to be drawn all the same. */
let question;
let agreed;

/** Asks about a word that does not fit, if there is one in a prompt, before anything is drawn; gives whether it does. `go` draws the prompt after all. */
export function asksAbout(prompt, go) {
  const word = misfit(prompt);
  if (!word || prompt === agreed) return false;
  look();
  question = { word, go: () => {
    agreed = prompt;
    go();
  } };
  show();
  announce(whyNot(word));
  $("prompt-info").querySelector("button").focus();
  return true;
}

/** Why a word cannot be used: it is for other models, or the engine says it. */
function whyNot({ token, reason, ...word }) {
  if (reason && !isOther(word)) return `${token}: ${reason}`;
  const { name, gigabytes } = modelFor(word);
  return t("make.needs", { token, family: familyName(word.family), size: name === MINI ? t("models.miniSize") : gigabytes && `${decimal(gigabytes, 1)} GB` });
}

/** What is said of a word that does not fit, and if it was asked about, what can be done. */
function unfit(word) {
  if (question?.word !== word) return h("li", { class: "warning" }, whyNot(word));
  const { name } = modelFor(word);
  // The focus stays in the form.
  const then = (work) => () => {
    $("generate").focus();
    look();
    work();
  };
  return h("li", { class: "row" }, h("span", { class: "warning" }, `${whyNot(word)}: `),
    name && button(name === MINI ? t("models.loadMini") : t("make.showModel"), then(() => lookUp(name))), button(t("make.plainly"), then(question.go)));
}

function unknownName(field, { text, suggestion = byFile(text) }) {
  const say = h("span", {}, t("make.unknown", text));
  const use = suggestion && button(suggestion, () => {
    field.value = field.value.replaceAll(text, suggestion);
    field.focus();
    look();
  }, { kind: "chip", label: t("make.replace", { text, suggestion }) });
  return h("li", { class: "warning row" }, say, use && h("span", {}, t("make.meant")), use);
}

/** What was said last of the prompt, and of the negative one. */
const told = { prompt: glance(""), negative: glance("") };

/** Says beside a prompt, by the id of its field, what it is. */
function show(id = "prompt", info = told[id]) {
  told[id] = info;
  const field = $(id);
  const strange = [...new Set([id === "prompt" && question?.word, ...wordsIn(field.value)])].filter((word) => word && !fits(word));
  const other = ({ token, text = token }) => !strange.some((word) => bare(word.token) === bare(text));
  say(`${id}-count`, info.room && t("make.tokens", info));
  $(`${id}-count`).classList.toggle("warning", info.tokens > info.room);
  const line = (kind, text) => h("li", { class: kind }, text);
  $(`${id}-info`).replaceChildren(
    ...strange.map(unfit),
    ...info.words.filter(other).map((word) => h("li", {}, h("mark", {}, word.token), ` ${t("make.vectors", word.vectors)}`)),
    ...info.unknown.filter(other).map((name) => unknownName(field, name)),
    ...(info.lost ? [line("warning", t("make.lost", info.lost))] : []),
    ...info.notes.map((note) => line("quiet", t("make.plainText", note))),
  );
}

let soon;
/** Whose answer is awaited: only that to the newest question counts. */
let asked = 0;

/** Shows what the prompts are, soon. What was asked about an earlier one is not asked any more. */
export function look() {
  question = undefined;
  clearTimeout(soon);
  soon = setTimeout(() => {
    asked += 1;
    for (const id of Object.keys(told)) lookAt(id, asked);
  }, PAUSE);
}

async function lookAt(id, mine) {
  const text = $(id).value;
  const info = glance(text);
  // Nothing is started for it.
  if (studio.client && text.trim()) Object.assign(info, await call(`${studio.model ? "engine" : "tools"}.promptInfo`, text, syntax(), shelf().map(({ token }) => token)).catch(() => {}));
  for (const note of info.notes) note.means = (await engineText("notes", note.code)) ?? note.means;
  if (mine === asked) show(id, info);
}

/** Puts a text into the field. */
export function usePrompt(text) {
  $("prompt").value = text;
  at = -1;
  look();
}

/** Puts a learned word into the field, if it is not there yet. */
export function useWord(token) {
  const text = $("prompt").value;
  if (namesIn(text).includes(token) || text.includes(token)) return $("prompt").focus();
  if (text.trim() === "") $("prompt").value = t("make.first", token);
  else return insert(token);
  $("prompt").focus();
  look();
}

/** Makes the field work; `words` gives what the shelf has. */
export function promptField(words) {
  shelf = words;
  earlier = readHistory();
  showHistory();
  $("prompt").addEventListener("input", () => {
    at = -1;
    look();
  });
  $("negative").addEventListener("input", look);
  $("prompt").addEventListener("keydown", travel);
  for (const id in told) $(id).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("make").requestSubmit();
  });
  $("earlier-clear").addEventListener("click", () => {
    earlier = [];
    keep(HISTORY, earlier);
    showHistory();
    $("prompt").focus();
  });
  let known = "";
  onChange(() => {
    chips();
    // What is unknown depends on what is loaded and learned.
    const now = JSON.stringify([studio.client, studio.model, shelf().map(({ token, vectors, usable }) => [token, vectors, usable])]);
    if (now !== known) look();
    known = now;
  });
}
