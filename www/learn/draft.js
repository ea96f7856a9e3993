// What was chosen to learn from, kept until it is learned or removed: pictures with their squares, masks and captions, in order, and what is typed in
// the form. The page reads and writes it itself, so that it is there without the engine. Each tab has a place of its own, which is its own as
// long as it holds a lock; what a tab left that is gone goes to the next one that is opened.

import * as disk from "../base/disk.js";
import { keep as remember, recall } from "../base/memory.js";

const ABOUT = "draft.json";
const LOCK = "pseudoword-draft-";
/** Which place is this tab's, for when it is opened again: in the tab's own memory. */
const TAB = "pseudoword-draft";
/** Tabs that are gone leave no more than this. */
const MOST = 4;
/** Milliseconds in which the page that was here before a reload lets go of its place. A tab that was copied waits in vain for the other one. */
const LETTING_GO = performance.getEntriesByType("navigation")[0]?.type === "reload" ? 5000 : 300;

let id;
/** By which names the pictures that are in this tab's place are kept. */
let names = new WeakMap();
let count = 0;

const folder = () => disk.folder("drafts");

/** Takes a place for as long as this page lives; gives whether it could. */
const take = (one, options) => new Promise((resolve) => {
  navigator.locks.request(LOCK + one, options, (lock) => {
    resolve(lock !== null);
    return lock && new Promise(() => {});
  }).catch(() => resolve(false));
});

async function contents(one) {
  const here = await (await folder()).getDirectoryHandle(one);
  const file = async (name) => (await here.getFileHandle(name)).getFile();
  const about = JSON.parse(await (await file(ABOUT)).text());
  const pictures = await Promise.all(about.pictures.map(async ({ kept, name, type, ...rest }) => {
    // In memory: it outlives what is kept of it.
    const bytes = await file(kept).then((found) => found.arrayBuffer()).catch(() => undefined);
    return bytes && { ...rest, kept, file: new File([bytes], name, { type }) };
  }));
  const whole = pictures.filter(Boolean);
  for (const { kept, file } of whole) names.set(file, kept);
  count = Math.max(count, ...whole.map(({ kept }) => parseInt(kept) + 1));
  return { ...about, pictures: whole };
}

/** Takes a place: the one that this tab had, or one that a tab left, or a new one; gives what is kept there:
 * `{pictures: [{file, width, height, caption, crop?, mask?}], form}`. */
export async function open() {
  try {
    const all = await folder();
    const there = (await Array.fromAsync(all.keys())).sort().reverse();
    const own = recall(TAB, "sessionStorage");
    if (there.includes(own) && (await take(own, { signal: AbortSignal.timeout(LETTING_GO) }))) id = own;
    for (const [at, one] of there.entries()) {
      if ((id && at < MOST) || one === id || !(await take(one, { ifAvailable: true }))) continue;
      if (at < MOST) id = one;
      else await all.removeEntry(one, { recursive: true });
    }
    id ??= `${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
    if (!there.includes(id)) await take(id, { ifAvailable: true });
    const found = await contents(id);
    return found.pictures.length > 0 ? found : undefined;
  } catch {
    // There is nothing, or it is torn; or this browser gives the page no storage: `keep` says so when there is something to keep.
    return undefined;
  }
}

/** Writes what is new, then what makes it count, then removes what is no longer named. */
async function write({ pictures, form }) {
  if (pictures.length === 0) return remove();
  const here = await (await folder()).getDirectoryHandle(id, { create: true });
  for (const { file } of pictures) {
    if (names.has(file)) continue;
    const name = `${count++}`;
    await disk.put(here, name, file);
    names.set(file, name);
  }
  const about = pictures.map(({ file, width, height, caption, crop, mask }) => ({ kept: names.get(file), name: file.name, type: file.type, width, height, caption, crop, mask }));
  await disk.put(here, ABOUT, JSON.stringify({ pictures: about, form }));
  // Where that is not remembered, it goes to whichever tab is opened next.
  remember(TAB, id, "sessionStorage");
  for (const name of await Array.fromAsync(here.keys())) {
    if (name !== ABOUT && !about.some(({ kept }) => kept === name)) await here.removeEntry(name).catch(() => {});
  }
}

async function remove() {
  names = new WeakMap();
  await disk.remove(await folder(), id);
}

let next;
let writing;

/** Keeps this in place of what was kept; gives why it cannot be, or nothing. What is asked for meanwhile is written at once afterwards. */
export function keep(draft) {
  next = draft;
  return (writing ??= (async () => {
    let wrong;
    while (next) {
      const now = next;
      next = undefined;
      wrong = await write(now).then(() => undefined, (error) => error);
    }
    return wrong;
  })().finally(() => (writing = undefined)));
}

/** Forgets what is kept. */
export const forget = () => keep({ pictures: [] });
