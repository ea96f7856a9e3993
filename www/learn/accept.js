// Which files can be learned from, and why not the others.

import { t } from "../base/text.js";

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
