// Files that are dropped anywhere on the page: each goes to the room that it is for.

import { addPictures } from "../learn/learning.js";
import { offerToTakeUp, takeUp } from "../make/make.js";
import { openFile } from "../models/models.js";
import { addFiles, NAMES } from "../words/shelf.js";
import { h } from "./dom.js";
import { call, now } from "./studio.js";
import { t } from "./text.js";

/** No word is so large. */
const MODEL = 100e6;
const PICTURES = /\.(png|apng|jpe?g|jfif|webp|gif|bmp|hei[cf]|avif|tiff?|txt|caption)$/i;
const WORDS = /\.(safetensors|bin|pt|pti)$/i;

/** What stands before a picture's pixels. */
const head = (file) => file.slice(0, 1 << 16).text().catch(() => "");

/** Whether a picture carries an embedding, as A1111 writes them. */
const carries = async (file) => /\.png$/i.test(file.name) && (await head(file)).includes("sd-ti-embedding");

/** Whether it says how it was made: "read", or "other" in a form that is not read. */
const saysHow = (file) => file.arrayBuffer().then((bytes) => call("tools.saysHow", bytes)).catch(() => {});

/** Where a file goes. */
async function room(file) {
  const { name, type, size } = file;
  if (name === NAMES || (await carries(file))) return "words";
  if (type.startsWith("image/") || PICTURES.test(name)) return "pictures";
  return WORDS.test(name) ? (size > MODEL ? "model" : "words") : "nowhere";
}

/** Hands files on that were dropped at a place. */
async function handOn(files, place) {
  const rooms = await Promise.all(files.map(room));
  const { pictures = [], words = [], model = [], nowhere = [] } = Object.groupBy(files, (_, i) => rooms[i]);
  const others = nowhere.map(({ name }) => t("start.other", name));
  const learn = () => addPictures(pictures, others);
  const [made] = pictures;
  const here = place.closest("#pictures");
  // Where pictures are named that cannot be used either.
  const says = files.length === 1 && made && (now() !== "teach" || here) && (await saysHow(made));
  // Why it cannot be read is said there.
  if (here ? says : says === "read") {
    if (here || now() === "learning") await takeUp(made);
    else offerToTakeUp(made, learn);
  } else if (pictures.length + others.length > 0) await learn();
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
    handOn([...event.dataTransfer.files], event.target);
  });
}
