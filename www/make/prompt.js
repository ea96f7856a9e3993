// The prompt: learned words to put into it, what the engine makes of it, and the prompts of before.

import { $, button, h } from "../base/dom.js";
import { keep, recall } from "../base/memory.js";
import { call, onChange, say, studio } from "../base/studio.js";
import { familyName, t } from "../base/text.js";
import { forgetImages, lazyImage, namesIn } from "./parts.js";

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
  const usable = shelf().filter(({ usable }) => usable !== false);
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

/** What can be told without a model. */
function glance(text) {
  const known = shelf();
  const names = namesIn(text);
  return {
    words: known.filter(({ token }) => names.includes(token)).map(({ token, vectors }) => ({ token, vectors })),
    unknown: names.filter((name) => !known.some(({ token }) => token === name)).map((text) => ({ text })),
    notes: [],
  };
}

function unknownName({ text, suggestion }) {
  const other = shelf().find(({ token, usable }) => token === text && usable === false);
  const say = h("span", {}, other ? t("make.otherFamily", { text, family: familyName(other.family) }) : t("make.unknown", text));
  const use = suggestion && button(suggestion, () => {
    $("prompt").value = $("prompt").value.replaceAll(text, suggestion);
    $("prompt").focus();
    look();
  }, { kind: "chip", label: t("make.replace", { text, suggestion }) });
  return h("li", { class: "warning row" }, say, use && h("span", {}, t("make.meant")), use);
}

function show(info) {
  const counted = info.tokens !== undefined && $("prompt").value.trim() !== "";
  say("prompt-count", counted ? t("make.tokens", info) : "");
  $("prompt-count").classList.toggle("warning", counted && info.tokens > info.room);
  const line = (kind, text) => h("li", { class: kind }, text);
  $("prompt-info").replaceChildren(
    ...info.words.map((word) => h("li", {}, h("mark", {}, word.token), ` ${t("make.vectors", word.vectors)}`)),
    ...info.unknown.map(unknownName),
    ...(info.lost ? [line("warning", t("make.lost", info.lost))] : []),
    ...info.notes.map((note) => line("quiet", t("make.plainText", note))),
  );
}

let soon;
/** Whose answer is awaited: only that to the newest question counts. */
let asked = 0;

/** Shows what the prompt is, soon. */
export function look() {
  clearTimeout(soon);
  soon = setTimeout(async () => {
    const text = $("prompt").value;
    const mine = ++asked;
    const info = studio.model ? await call("engine.promptInfo", text).catch(() => glance(text)) : glance(text);
    if (mine === asked) show(info);
  }, PAUSE);
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
  $("prompt").addEventListener("keydown", travel);
  $("prompt").addEventListener("keydown", (event) => {
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
    const now = JSON.stringify([studio.model, shelf().map(({ token, vectors, usable }) => [token, vectors, usable])]);
    if (now !== known) look();
    known = now;
  });
}
