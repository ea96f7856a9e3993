// Files that are dropped anywhere on the page: each goes to the room that it is for.

import { addPictures } from "../learn/learning.js";
import { openFile } from "../models/models.js";
import { addFiles, NAMES } from "../words/shelf.js";
import { h } from "./dom.js";
import { t } from "./text.js";

/** No word is so large. */
const MODEL = 100e6;
const PICTURES = /\.(png|apng|jpe?g|jfif|webp|gif|bmp|hei[cf]|avif|tiff?|txt|caption)$/i;
const WORDS = /\.(safetensors|bin|pt|pti)$/i;

/** Whether a picture carries an embedding, as A1111 writes them: that is said before its pixels. */
const carries = async (file) => /\.png$/i.test(file.name) && (await file.slice(0, 1 << 16).text().catch(() => "")).includes("sd-ti-embedding");

/** Where a file goes. */
async function room(file) {
  const { name, type, size } = file;
  if (await carries(file)) return "words";
  if (name === NAMES) return "words";
  if (type.startsWith("image/") || PICTURES.test(name)) return "pictures";
  return WORDS.test(name) ? (size > MODEL ? "model" : "words") : "nowhere";
}

async function handOn(files) {
  const rooms = await Promise.all(files.map(room));
  const { pictures = [], words = [], model = [], nowhere = [] } = Object.groupBy(files, (_, i) => rooms[i]);
  const others = nowhere.map(({ name }) => t("start.other", name));
  // Where pictures are named that cannot be used either.
  if (pictures.length + others.length > 0) await addPictures(pictures, others);
  if (words.length > 0) await addFiles(words);
  if (model.length > 0) await openFile(model[0]);
}

/** Makes the whole page a place to drop things on. */
export function dropTarget() {
  const veil = h("div", { class: "veil", hidden: true, "aria-hidden": "true" }, h("p", {}, t("start.drop")));
  document.body.append(veil);
  const ours = ({ dataTransfer }) => dataTransfer.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => (veil.hidden ||= relatedTarget === null));
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!ours(event)) return;
    event.preventDefault();
    handOn([...event.dataTransfer.files]);
  });
}
