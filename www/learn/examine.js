// A look at each picture before anything is learned from it: whether it can be read at all, and by the engine's rules whether it is large
// enough, sharp, and not there twice. Captions come in files of text.

import { call, reasonOf } from "../base/studio.js";
import { engineText, t } from "../base/text.js";
import { cropOf } from "./crop.js";

// Without a type is what has no ending that the browser knows: the engine looks at its content.
const TYPES = ["image/png", "image/apng", "image/jpeg", "image/webp", ""];
const LARGEST = 64 << 20;
const CAPTION = 64 << 10;
// Names are the same in any case and in any normal form of Unicode: some systems take accents apart.
const same = (name) => name.normalize("NFD").toLowerCase().normalize("NFD");
const stem = (name) => same(name.replace(/\.[^.]*$/, ""));

export const isCaption = ({ name }) => /\.(txt|caption)$/i.test(name);

/** Why a file cannot be a picture to learn from; nothing if it can. */
export function refused({ name, type, size }) {
  if (/\.hei[cf]$/i.test(name) || /hei[cf]/.test(type)) return t("learn.refuse.heic", name);
  if (/\.avif$/i.test(name) || type === "image/avif") return t("learn.refuse.avif", name);
  if (!TYPES.includes(type)) return t("learn.refuse.type", name);
  return size > LARGEST ? t("learn.refuse.large", name) : undefined;
}

/** The picture that a file of text is the caption of. */
export const captioned = (pictures, { name }) => pictures.find((picture) => [stem(picture.name), same(picture.name)].includes(stem(name)));

/** The text of a caption's file: `{text}` or `{reason}` why it cannot be used. */
export async function captionText(file) {
  if (file.size > CAPTION) return { reason: t("learn.refuse.long", file.name) };
  const text = (await file.text()).trim();
  return /[\0\ufffd]/.test(text) ? { reason: t("learn.refuse.text", file.name) } : { text };
}

/** What the engine says of a file for a side in pixels, `{warnings, fingerprint}` or `{reason}`; asked once. */
const looks = new WeakMap();

async function look(file, seen) {
  const known = looks.get(file);
  if (known?.seen === seen) return known;
  const found = await call("tools.examine", await file.arrayBuffer(), file.name, seen).catch(async (error) => ({ reason: (await reasonOf(error))[0] }));
  looks.set(file, { seen, ...found });
  return looks.get(file);
}

/** What the engine warns of, by its codes, in the page's words. What is too small is said of the square that is taken. */
const WARNINGS = { "blurred-pictures": () => t("learn.warn.blurred"), "small-pictures": () => undefined };

/** What is worth knowing about each of `pictures`, whose square the model sees at `seen` pixels: a list of sentences for each. */
export async function examined(pictures, seen) {
  const found = [];
  for (const picture of pictures) found.push(await look(picture.file, seen));
  return Promise.all(pictures.map(async (picture, i) => {
    const { reason, warnings = [], fingerprint } = found[i];
    if (reason) return [reason];
    const said = (await Promise.all(warnings.map(async ({ code, text }) => (WARNINGS[code] ? WARNINGS[code]() : ((await engineText("codes", code)) ?? text))))).filter(Boolean);
    const { side } = cropOf(picture);
    if (side < seen) said.unshift(t("learn.warn.small", { have: side, want: seen }));
    for (const [j, { fingerprint: other }] of found.slice(0, i).entries()) {
      if (other && (await call("tools.alike", other, fingerprint))) return [...said, t("learn.warn.twin", pictures[j].name)];
    }
    return said;
  }));
}
