// The pictures that stay between visits: each a PNG in the browser's storage, and beside those that were made together a file with their
// settings. The page reads and writes them itself, so that they can be seen before the engine is there.

import * as disk from "../base/disk.js";

/** The newest stay, up to so many pictures and bytes. */
export const MOST = 200;
const MOST_BYTES = 200e6;

const NAME = /^([0-9a-z]+)(?:-(\d+)(-without)?)?\.(?:png|json)$/;

/** What a picture's file is called: `id` is that of the pictures made with it. */
const fileName = (id, seed, without) => `${id}-${seed}${without ? "-without" : ""}.png`;

let opened;

function folder() {
  opened ??= disk.folder("gallery");
  return opened;
}

/** A name for pictures that are made together; later ones come later in the order of letters, and two tabs hardly meet. */
export const newId = () => Date.now().toString(36).padStart(9, "0") + Math.floor(Math.random() * 1296).toString(36).padStart(2, "0");

const put = async (name, content) => disk.put(await folder(), name, content);
const read = async (name) => (await (await folder()).getFileHandle(name)).getFile();

const remove = async (name) => disk.remove(await folder(), name);

/** Everything that is kept, the newest first: `[{id, shots: [{seed, pair}]}]`. */
export async function listKept() {
  const sets = new Map();
  const twins = [];
  for await (const name of (await folder()).keys()) {
    const [, id, seed, without] = NAME.exec(name) ?? [];
    if (seed === undefined) continue;
    if (!sets.has(id)) sets.set(id, []);
    if (without) twins.push(`${id}-${seed}`);
    else sets.get(id).push({ seed: Number(seed), pair: false });
  }
  for (const [id, shots] of sets) {
    shots.sort((a, b) => a.seed - b.seed);
    for (const shot of shots) shot.pair = twins.includes(`${id}-${shot.seed}`);
  }
  return [...sets].map(([id, shots]) => ({ id, shots })).filter(({ shots }) => shots.length > 0).sort((a, b) => (a.id < b.id ? 1 : -1));
}

/** The settings of pictures made together: `{prompt, without?, config, model}`. Of damaged ones only the pictures are left. */
export async function keptSettings(id) {
  try {
    return JSON.parse(await (await read(`${id}.json`)).text());
  } catch {
    return { prompt: "", config: {}, model: "" };
  }
}

/** A picture, as a file. */
export const keptPicture = (id, seed, without) => read(fileName(id, seed, without));

export const keepSettings = (id, settings) => put(`${id}.json`, JSON.stringify(settings));
export const keepPicture = (id, seed, without, png) => put(fileName(id, seed, without), png);

/** Removes pictures, and the settings with the last of them. */
export async function forgetPictures(id, seeds, last) {
  for (const seed of seeds) for (const without of [true, false]) await remove(fileName(id, seed, without));
  if (last) await remove(`${id}.json`);
}

export async function forgetAll() {
  const all = await folder();
  const names = [];
  for await (const name of all.keys()) names.push(name);
  for (const name of names) await remove(name);
}

/** Which sets are too many, the oldest first; there is always room for the newest. */
export async function tooMany() {
  let [pictures, bytes] = [0, 0];
  const over = [];
  for (const [at, { id, shots }] of (await listKept()).entries()) {
    for (const { seed, pair } of shots) {
      for (const without of pair ? [false, true] : [false]) {
        pictures += 1;
        bytes += (await keptPicture(id, seed, without)).size;
      }
    }
    if (at > 0 && (pictures > MOST || bytes > MOST_BYTES)) over.unshift({ id, seeds: shots.map(({ seed }) => seed) });
  }
  return over;
}
