// A look at each picture before anything is learned from it, by the engine's rules: is it large enough, sharp, and not there twice?

import { call } from "../base/studio.js";
import { t } from "../base/text.js";
import { cropOf } from "./cropped.js";

/** What the engine says of a file for a side in pixels, `{warnings, fingerprint}` or `{reason}`; asked once. */
const looks = new WeakMap();

async function look(file, seen) {
  const known = looks.get(file);
  if (known?.seen === seen) return known;
  const found = await call("tools.examine", await file.arrayBuffer(), file.name, seen).catch((error) => ({ reason: error.message }));
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
    const said = warnings.map(({ code, text }) => (WARNINGS[code] ? WARNINGS[code]() : text)).filter(Boolean);
    const { side } = cropOf(picture);
    if (side < seen) said.unshift(t("learn.warn.small", { have: side, want: seen }));
    for (const [j, { fingerprint: other }] of found.slice(0, i).entries()) {
      if (other && (await call("tools.alike", other, fingerprint))) return [...said, t("learn.warn.twin", pictures[j].name)];
    }
    return said;
  }));
}
