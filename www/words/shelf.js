// The shelf: every word that this page keeps, whether the loaded model can use it or not. Words can come, be looked at and be given
// away before there is a model; prompts can use them once there is one.

import { $ } from "../base/dom.js";
import { BrokenEngine } from "../base/engine.js";
import { fileStem, t } from "../base/text.js";
import { add, announce, call, changed, onChange, reasonOf, say, studio, using } from "../base/studio.js";
import { fits } from "../models/kinds.js";
import { details } from "./details.js";
import { forget, keptWords, putCard, putPicture, putWord } from "./kept.js";
import { lookRoom } from "./look.js";
import { drawShelf } from "./tiles.js";

/** The words, by the names of their files; those that were taken away have `removed`. */
const shelf = new Map();

const all = () => [...shelf.values()];
const here = () => all().filter(({ removed }) => !removed);
/** The word of a name. */
export const find = (token) => here().find((word) => word.token === token);

/** What is on the shelf: `[{token, vectors, family, usable, reason?, picture?}]`. `usable` is undefined while no model is loaded. */
export const words = () => here();

/** What can be used, as far as it is known. */
const uses = () => `${here().map((word) => [word.usable, fits(word)])}`;
/** What could be when the shelf was drawn. */
let drawn;

/** Shows the shelf as it is, and tells the other rooms. */
function draw() {
  drawn = uses();
  studio.words = new Map(here().filter(({ usable }) => usable).map((word) => [word.token, word]));
  drawShelf(all(), { open: (word) => details(word, actions), use: actions.use, restore: putBack, forget: forgetForGood });
  changed();
}

/** Brings a word to the engine; whether it can be used, and why not, is known then. */
async function enlist(word) {
  try {
    // Of a file with several words, one that is called otherwise than there is given alone.
    const alone = word.within && word.within !== word.token;
    const bytes = alone ? await exported(word, "diffusers") : await word.read();
    const about = await call("engine.addEmbedding", bytes, word.name ?? word.file, word.token);
    Object.assign(word, about, { usable: true, reason: undefined });
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    const [reason, more] = await reasonOf(error);
    Object.assign(word, { usable: false, reason, more });
  }
}

/** What a file holds, by the engine's reading: one for each word in it. */
async function described(bytes, name) {
  return (await call("tools.describe", bytes, name)).map((about) => ({ ...about, token: about.token ?? `<${fileStem(name.replace(/\.\w+$/, ""))}>` }));
}

const hashOf = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Keeps a word of a file. What is `about` it: `token` (another name, or which of several), `picture`, `prompt` (which the picture was
 * made by), `origin` (where it came from), `kind`, `licence`. Gives what is known of it. */
export async function keepWord(bytes, name, about = {}) {
  const buffer = bytes instanceof ArrayBuffer ? bytes : bytes.slice().buffer;
  const { picture, ...known } = about;
  const held = await described(buffer, name);
  const chosen = held.find(({ token }) => token === known.token) ?? held[0];
  const hash = await hashOf(buffer);
  const named = known.token ?? chosen.token;
  const same = here().find((word) => word.hash === hash && word.token === named);
  if (same) return same;
  const token = free(named);
  const file = `${Date.now()}-${fileStem(token)}${/\.\w+$/.exec(name)?.[0] ?? ""}`;
  const within = held.length > 1 ? chosen.token : undefined;
  const word = { ...chosen, within, ...Object.fromEntries(Object.entries(known).filter(([, value]) => value)), token, name, hash, file, read: async () => buffer };
  if (studio.model) await enlist(word);
  shelf.set(file, word);
  draw();
  try {
    await putWord(word);
    if (picture) await show(word, picture);
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    throw new Error(t("words.lost", { token, reason: (await reasonOf(error))[0] }));
  }
  announce(t("words.kept", token));
  return word;
}

async function show(word, picture, prompt) {
  word.picture = picture;
  if (prompt) word.prompt = prompt;
  draw();
  word.picture = await putPicture(word, picture);
  if (prompt) await putCard(word);
}

/** Gives a word its picture on the shelf, where it has none: one that was made with it, and by which prompt. Where it cannot be used, it was
 * read as plain text, and none was. */
export async function pictureOf(token, picture, prompt) {
  const word = find(token);
  if (word?.usable && !word.picture) await show(word, picture, prompt).catch(() => {});
}

/** What diffusers calls the file for SDXL's second text encoder, by the name of that for the first: the engine's rule. */
const secondOf = (name) => name.replace(/^(.+?)(-steps-.*|\.[^.]*)$/, "$1_2$2");

/** What Replicate calls the file with the names of what is in the `.pti` beside it. */
export const NAMES = "special_params.json";

/** The words of a `.pti`, as the file beside it calls them. */
async function named(file, names) {
  try {
    const words = await call("tools.joinNames", await file.arrayBuffer(), file.name, await names.text());
    return words.map(({ token, bytes }) => ({ file, name: `${fileStem(token)}.safetensors`, read: () => bytes }));
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    return [{ file, name: file.name, read: () => Promise.reject(error) }];
  }
}

/** Files of words as `[{name, read}]`: of two that are one word for SDXL, one with both; of Replicate's, one for each of its names. */
async function whole(files) {
  const [found, seconds] = [[], new Set()];
  const [names, ...others] = files.filter(({ name }) => name === NAMES);
  const replicate = files.filter(({ name }) => /\.pti$/i.test(name));
  if (names && others.length === 0 && replicate.length === 1) {
    found.push(...(await named(replicate[0], names)));
    files = files.filter((file) => file !== names && file !== replicate[0]);
  }
  for (const file of files) {
    const second = files.find(({ name }) => name === secondOf(file.name));
    // Two that are only called so are two words; whichever cannot be read is named below.
    const join = async () => call("tools.joinPair", await file.arrayBuffer(), file.name, await second.arrayBuffer(), second.name);
    const both = second && (await join().catch((error) => {
      if (error instanceof BrokenEngine) throw error;
    }));
    if (both) seconds.add(second);
    found.push(both ? { file, name: file.name.replace(/\.\w+$/, ".safetensors"), read: () => both } : { file, name: file.name, read: () => file.arrayBuffer() });
  }
  return found.filter(({ file }) => !seconds.has(file));
}

/** Keeps the embeddings of files; what cannot be read is said by name. */
export function addFiles(files) {
  return using("words-problem", async () => {
    const problems = [];
    let last;
    for (const { name, read } of await whole(files)) {
      try {
        const bytes = await read();
        for (const { token } of await described(bytes, name)) last = await keepWord(bytes, name, { token });
      } catch (error) {
        if (error instanceof BrokenEngine) throw error;
        problems.push(await reasonOf(error));
      }
    }
    say("words-problem");
    for (const reason of problems) add("words-problem", ...reason);
    if (last) focusOn(last);
  });
}

/** The focus goes to a word's tile. */
function focusOn(word) {
  document.querySelector(`[data-file="${CSS.escape(word.file)}"] button`)?.focus();
}

/** A name, or if a word on the shelf has it one like it that none has. */
export function free(token) {
  let [n, other] = [2, token];
  while (find(other)) other = token.replace(/(>?)$/, `-${n++}$1`);
  return other;
}

/** Takes a word from the shelf. Its file stays, so that it can be put back. */
export async function remove(word) {
  if (word.usable) await call("engine.removeEmbedding", word.token);
  word.removed = true;
  word.usable = undefined;
  await putCard(word);
  draw();
  say("word-undo-text", t("words.wasRemoved", word.token));
  $("word-undo").hidden = false;
  $("word-undo-button").onclick = () => putBack(word);
  $("word-undo-button").focus();
}

const putBack = (word) => using("words-problem", async () => {
  // Another may have come to its name.
  word.token = free(word.token);
  delete word.removed;
  if (studio.model) await enlist(word);
  await putCard(word);
  $("word-undo").hidden = true;
  draw();
  focusOn(word);
  announce(t("words.isBack", word.token));
});

const forgetForGood = (word) => using("words-problem", async () => {
  await forget(word);
  shelf.delete(word.file);
  $("word-undo").hidden = true;
  draw();
});

/** Calls a word otherwise. */
async function rename(word, token) {
  const former = word.token;
  if (!token || token === former) return;
  if (find(token)) throw new Error(t("words.taken", token));
  if (word.usable) Object.assign(word, await call("engine.renameEmbedding", former, token), { notes: word.notes });
  word.token = token;
  if (studio.model && !word.usable) await enlist(word);
  await putCard(word);
  draw();
  announce(t("words.isCalled", { former, token }));
}

/** The bytes of a word's file in a layout. */
const exported = async ({ read, name, file, token, within }, format) => call("tools.convert", await read(), name ?? file, format, token, within);

/** The files of a word in one of the formats that there are for it: `[{name, bytes}]`. */
export async function filesOf(word, { value, ending }) {
  const name = `${fileStem(word.token)}.${ending}`;
  if (!(word.widths?.length > 1)) return [{ name, bytes: await exported(word, value) }];
  return call("tools.convertFiles", await exported(word, "diffusers"), "one.safetensors", value, name, word.token);
}

const actions = { use: () => {}, remove, rename, filesOf };

/** Brings the shelf to a model that was loaded; words for other kinds of models wait. */
export async function restoreWords() {
  for (const word of here()) await enlist(word);
  draw();
}

/** Reads what is kept. */
async function read() {
  for (const word of await keptWords()) shelf.set(word.file, { token: word.token ?? word.file, ...word });
  draw();
}

/** Makes the room work; `use` puts a word into the prompt. */
export function wordsRoom({ use }) {
  actions.use = ({ token }) => use(token);
  lookRoom({ keep: keepWord, addFiles, focusOn });
  $("word-add").addEventListener("click", () => say("words-problem"));
  onChange(() => {
    // Without a model only a word's kind tells, and which one would be loaded.
    if (!studio.model) for (const word of here()) word.usable = undefined;
    if (drawn !== uses()) draw();
  });
  return read();
}
