// The visitor's own pictures, and what is typed for them: kept from one visit to the next, seen to be kept, and removed by one press. While an
// example or a run that was left has the room's tiles, they wait.

import { $ } from "../base/dom.js";
import { announce, now, say, turnTo } from "../base/studio.js";
import { t } from "../base/text.js";
import * as draft from "./draft.js";
import { refill, typed } from "./form.js";

/** Milliseconds after a change in which others may follow. */
const SOON = 250;

let tiles;
/** Whether the tiles show the visitor's own pictures; if not, what waits: `{pictures, form}`. */
let shown = true;
let waiting;
/** What was learned from, or removed, last. */
let former;
/** Changes so far, and those that are kept. */
let [changes, kept] = [0, 0];
let timer;

function tell(text) {
  $("own-kept").hidden = !shown || tiles.pictures.length === 0;
  $("own-again").hidden = !former || !shown || tiles.pictures.length > 0;
  if (text !== undefined) say("own-kept-text", text);
}

async function keepNow() {
  clearTimeout(timer);
  if (kept === changes) return;
  const these = changes;
  const wrong = await draft.keep({ pictures: [...tiles.pictures], form: typed() });
  if (!wrong) kept = these;
  if (shown) tell(t(wrong ? "learn.own.lost" : "learn.own.kept", wrong?.message));
}

/** Something was changed in the room of teaching. */
export function changed() {
  if (!shown || now() !== "teach") return tell();
  changes += 1;
  tell();
  clearTimeout(timer);
  timer = setTimeout(keepNow, SOON);
}

/** Whether something would be lost with this tab. */
export const unkept = () => now() === "teach" && tiles.pictures.length > 0 && !(shown && kept === changes);

/** Other pictures, and what is typed for them, are about to take the place of the visitor's own. */
export function aside() {
  keepNow();
  if (shown) waiting = { pictures: [...tiles.pictures], form: typed() };
  shown = false;
}

/** The visitor's own are shown again. */
export async function mine() {
  if (shown) return;
  shown = true;
  refill(waiting?.form);
  await tiles.set(waiting?.pictures ?? []);
  tell();
}

/** Whether these are the same files in the same order. */
const same = (some, others) => some.length === others.length && some.every(({ file }, i) => file.name === others[i].file.name && file.size === others[i].file.size);

/** Whether the tiles, from which a word of this name is learned, show the visitor's own. An example may have the same name. */
export const owns = (token) => shown || Boolean(waiting && waiting.form.token === token && same(waiting.pictures, tiles.pictures));

/** A word was learned from what the tiles show: if that is the visitor's own, it has done its work. */
export async function learned(token) {
  if (!owns(token)) return;
  waiting = undefined;
  remember();
  await forget();
}

async function forget() {
  clearTimeout(timer);
  kept = changes;
  tell("");
  await draft.forget();
}

/** So that they can be brought back. */
function remember() {
  if (tiles.pictures.length > 0) former = { pictures: [...tiles.pictures], form: typed() };
}

async function bringBack() {
  const { pictures, form } = former;
  refill(form);
  await tiles.set(pictures);
  $("own-clear").focus();
}

async function clear() {
  remember();
  refill();
  await tiles.set([]);
  await forget();
}

/** For another word: what waits, or else nothing. */
export const another = () => (shown ? clear() : mine());

/** Makes it work; what was left is there again when this resolves. */
export async function ownPictures(room) {
  tiles = room;
  $("learn").addEventListener("input", changed);
  $("own-clear").addEventListener("click", async () => {
    await clear();
    announce(t("learn.own.cleared"));
    $("files").focus();
  });
  $("own-again").addEventListener("click", bringBack);
  document.addEventListener("visibilitychange", () => document.hidden && keepNow());
  const found = await draft.open();
  if (!found) return;
  refill(found.form);
  await tiles.set(found.pictures);
  turnTo("teach");
  tell(t("learn.own.back"));
}
