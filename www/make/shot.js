// One picture in the gallery, or two with a slider between them, with what can be done with it.

import { about, h, image, save } from "../base/dom.js";
import { fileStem, t } from "../base/text.js";
import { announce, say } from "../base/studio.js";
import { keptPicture } from "./kept.js";
import { compared, bareButton, lazyImage } from "./parts.js";

/** What the elements of pictures show: `{set, shot}`. */
export const shots = new WeakMap();

/** The file of a picture, or of its twin without the word: in the storage, or in memory while it is not there. */
export const picture = async (set, shot, without) => shot.blobs?.[without ? 1 : 0] ?? keptPicture(set.id, shot.seed, without);

/** Image or images of a shot. */
export function shotImages(set, shot) {
  const { prompt, without } = set.settings;
  const shown = lazyImage(() => picture(set, shot, false), prompt);
  return shot.pair ? compared(lazyImage(() => picture(set, shot, true), without ?? ""), shown, prompt) : shown;
}

/** Hands a picture to the user; says at `place` if it is there no more. */
export async function download(set, shot, place = "make-status") {
  try {
    const bytes = await (await picture(set, shot, false)).arrayBuffer();
    save(bytes, `${fileStem(set.settings.prompt.slice(0, 40))}-${shot.seed}.png`, "image/png");
  } catch {
    say(place, t("make.gone"));
    announce(t("make.gone"));
  }
}

/** Copies a picture; says at `place` what came of it. */
export async function copy(set, shot, place) {
  try {
    // A promise, because Safari wants to be asked while the click is handled.
    const file = picture(set, shot, false).then((blob) => new Blob([blob], { type: "image/png" }));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": file })]);
    say(place, t("make.copied"));
    announce(t("make.copied"));
  } catch (error) {
    say(place, t("make.notCopied", error.message));
  }
}

/** A place in the list; `handlers` are `{large(element), discard(set, shots)}`. */
export function shotElement(set, shot, handlers) {
  const of = (text) => about(text, t("make.shotOf", { prompt: set.settings.prompt, seed: shot.seed }));
  const large = () => handlers.large(element);
  const images = shotImages(set, shot);
  const element = h("li", { class: "shot" },
    shot.pair ? images : h("button", { type: "button", class: "shown", "aria-label": of(t("make.large")), onclick: large }, images),
    h("div", { class: "shot-foot" },
      h("span", { class: "said" }, t("make.seedIs", shot.seed)),
      shot.pair && bareButton("large", of(t("make.large")), large),
      bareButton("save", of(t("make.save")), () => download(set, shot)),
      bareButton("copy", of(t("make.copy")), () => copy(set, shot, "make-status")),
      bareButton("remove", of(t("make.remove")), () => handlers.discard(set, [shot]))));
  shots.set(element, { set, shot });
  return element;
}

/** The place of a picture that is being made. */
export function waitingElement(seed) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": t("make.making", seed) });
  const element = h("li", { class: "shot coming" }, h("div", { class: "blank" }, bar), h("div", { class: "shot-foot" }, h("span", { class: "said" }, t("make.seedIs", seed))));
  return {
    element,
    step(share) {
      bar.value = share;
      element.classList.add("begun");
    },
    /** Shows what is becoming of it. */
    sketch(blob) {
      element.querySelector("img")?.remove();
      bar.before(image(blob, "", { class: "sketch", onload: ({ target }) => URL.revokeObjectURL(target.src) }));
    },
  };
}
