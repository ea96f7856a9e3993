// A look at each picture before anything is learned from it: is it large enough, sharp enough, and not there twice?

import { t } from "../base/text.js";
import { cropOf } from "./cropped.js";

/** A fingerprint has so many comparisons of neighbours; as many may differ between two copies of one picture. */
const [ACROSS, DOWN, TWINS] = [17, 16, 24];
/** Mean brightness and colour of twins differ by no more, of 255. */
const TONE = 12;
/** What is blurred has no edges sharper than this: a strong one, between neighbouring pixels as the model sees them, of 255. */
const SHARP = 26;

const idle = () => new Promise((resolve) => (globalThis.requestIdleCallback ?? setTimeout)(resolve));

/** The pixels of a picture's square, scaled down. */
async function pixels({ file, ...picture }, width, height) {
  const { left, top, side } = cropOf(picture);
  const bitmap = await createImageBitmap(file, left, top, side, side, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}

const grey = (data, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];

/** What is the same in copies of a picture: which of its neighbouring parts is brighter, and its mean colour. */
async function fingerprint(picture) {
  const data = await pixels(picture, ACROSS, DOWN);
  const bits = [];
  const tone = [0, 0, 0];
  for (let i = 0; i < ACROSS * DOWN; i++) {
    if ((i + 1) % ACROSS) bits.push(grey(data, i) > grey(data, i + 1) + 2);
    for (let c = 0; c < 3; c++) tone[c] += data[4 * i + c] / (ACROSS * DOWN);
  }
  return { bits, tone };
}

function twins(a, b) {
  const differing = a.bits.filter((bit, i) => bit !== b.bits[i]).length;
  return differing <= TWINS && a.tone.every((value, c) => Math.abs(value - b.tone[c]) <= TONE);
}

/** How sharp the sharpest two in a hundred edges are. */
async function sharpness(picture, side) {
  const data = await pixels(picture, side, side);
  const steps = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x + 1 < side; x++) steps.push(Math.abs(grey(data, y * side + x) - grey(data, y * side + x + 1)));
  }
  return steps.sort((a, b) => b - a)[Math.floor(steps.length / 50)];
}

/** What is worth knowing about each of `pictures`, `{file, name, width, height, crop?}`, whose square the model sees at `seen` pixels:
 * a list of sentences for each. */
export async function examined(pictures, seen) {
  const prints = [];
  const found = [];
  for (const [i, picture] of pictures.entries()) {
    await idle();
    const warnings = [];
    const { side } = cropOf(picture);
    if (side < seen) warnings.push(t("learn.warn.small", { have: side, want: seen }));
    // What is enlarged is blurred; that has been said.
    else if ((await sharpness(picture, Math.min(seen, 256))) < SHARP) warnings.push(t("learn.warn.blurred"));
    prints.push(await fingerprint(picture));
    const twin = prints.findIndex((print, j) => j < i && twins(print, prints[i]));
    if (twin >= 0) warnings.push(t("learn.warn.twin", pictures[twin].name));
    found.push(warnings);
  }
  return found;
}
