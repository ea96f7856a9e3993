// How words are kept between visits: the file as it came, in words/; beside it, in cards/, what is known of it, and its picture.
//
// They are read here, without the engine, so that the shelf stands before anything of the engine is fetched; they are written by the
// Worker, which knows why that fails.

import * as disk from "../base/disk.js";
import { call } from "../base/studio.js";

/** The files of a folder, by their names; none where there is no storage. */
async function files(name) {
  const found = new Map();
  try {
    for await (const [file, handle] of (await disk.folder(name)).entries()) if (handle.kind === "file") found.set(file, handle);
  } catch {
    // This window keeps nothing: then there is nothing to show.
  }
  return found;
}

/** A picture needs no more than this many pixels on the shelf. */
const SIDE = 384;

/** A picture as the shelf keeps it. */
async function small(picture) {
  const whole = await createImageBitmap(picture);
  const scale = SIDE / Math.max(whole.width, whole.height);
  if (scale >= 1) return picture;
  const canvas = new OffscreenCanvas(Math.round(whole.width * scale), Math.round(whole.height * scale));
  canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/webp", quality: 0.9 });
}

const cardOf = (file) => `cards/${file}.json`;
const pictureOf = (file) => `cards/${file}.picture`;

/** Everything that is kept: `[{file, read, picture?, ...card}]`, the oldest first. `read()` gives a file's bytes. */
export async function keptWords() {
  const [words, cards] = await Promise.all([files("words"), files("cards")]);
  const found = [...words].map(async ([file, handle]) => {
    const text = await (await cards.get(`${file}.json`)?.getFile())?.text();
    let card = {};
    try {
      card = JSON.parse(text ?? "{}");
    } catch {
      // Half of one: the word itself says what it is once the engine reads it.
    }
    const picture = await cards.get(`${file}.picture`)?.getFile();
    return { ...card, file, picture: picture?.size > 0 ? picture : undefined, read: async () => (await handle.getFile()).arrayBuffer() };
  });
  return (await Promise.all(found)).sort((a, b) => parseInt(a.file) - parseInt(b.file));
}

/** Keeps what is known of a word, without what is known only of this visit. */
export function putCard({ file, picture, read, usable, reason, more, nearest, ...card }) {
  return call("storage.put", cardOf(file), new TextEncoder().encode(JSON.stringify(card)));
}

/** Keeps a word's file, then its card. */
export async function putWord(word) {
  await call("storage.put", `words/${word.file}`, await word.read());
  await putCard(word);
}

/** Keeps a word's picture; gives it as it is kept. */
export async function putPicture(word, picture) {
  const kept = await small(picture);
  await call("storage.put", pictureOf(word.file), await kept.arrayBuffer());
  return kept;
}

/** Forgets a word for good. */
export async function forget({ file }) {
  for (const path of [`words/${file}`, cardOf(file), pictureOf(file)]) await call("storage.remove", path);
}
