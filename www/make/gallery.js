// The pictures that were made, the newest first: also those of earlier visits, without the engine.

import { $, h } from "../base/dom.js";
import { announce, say } from "../base/studio.js";
import { t } from "../base/text.js";
import { picture, shotElement, shots, waitingElement } from "./shot.js";
import { forgetAll, forgetPictures, keepPicture, keepSettings, keptSettings, listKept, MOST, newId, tooMany } from "./kept.js";
import { drawnButton, forgetImages, bareButton, marked, watchImages } from "./parts.js";
import { settingsLine } from "./settings.js";
import { view } from "./viewer.js";

/** Sets of pictures that are kept but not in the page yet. */
let waiting = [];
/** Those in the page, by their ids: `{id, settings, shots: [{seed, pair, blobs?}], element, list}`. */
const shown = new Map();
/** What is done with the settings of pictures: `{again(settings, seed), vary(settings, shots)}`. */
let actions;
/** Puts back what was deleted last. */
let restore;
const AT_ONCE = 6;

function count() {
  const all = [...shown.values(), ...waiting];
  const pictures = all.reduce((sum, { shots }) => sum + shots.length, 0);
  say("gallery-count", pictures > 0 ? t("make.kept", pictures) : "");
  $("gallery-head").hidden = pictures === 0;
  $("gallery-empty").hidden = all.length > 0;
}

function setElement(set) {
  const { prompt } = set.settings;
  const id = `set-${set.id}`;
  set.list = h("ul", { class: "tiles shots", "aria-label": t("make.shots", prompt) });
  set.element = h("article", { class: "set", "aria-labelledby": id },
    h("div", { class: "set-head" },
      h("h3", { id }, prompt ? marked(prompt) : t("make.noPrompt")),
      h("p", { class: "said" }, settingsLine(set.settings))),
    set.list,
    h("div", { class: "row set-foot" },
      drawnButton("again", t("make.again"), () => actions.again(set.settings, set.shots[0]?.seed), prompt),
      drawnButton("vary", t("make.vary"), () => actions.vary(set.settings, set.shots), prompt),
      bareButton("remove", t("make.removeSet", prompt), () => discard(set, [...set.shots]))));
  return set.element;
}

/** Puts a set that is kept into the page. */
async function render({ id, shots: kept }) {
  const set = { id, settings: await keptSettings(id), shots: kept };
  shown.set(id, set);
  const element = setElement(set);
  set.list.append(...kept.map((shot) => shotElement(set, shot, handlers)));
  $("sets").append(element);
}

/** Puts some more of what is kept into the page. */
async function more() {
  for (const set of waiting.splice(0, AT_ONCE)) await render(set);
  if (waiting.length > 0) end.observe($("gallery-end"));
  count();
}

/** More come when the end of the list comes near. */
const end = new IntersectionObserver(([{ isIntersecting }]) => {
  if (!isIntersecting) return;
  end.unobserve($("gallery-end"));
  more();
}, { rootMargin: "600px", scrollMargin: "600px" });

/** Says something below the pictures that can be undone. */
export function notice(text, undo) {
  restore = undo;
  say("gallery-notice-text", text);
  $("gallery-undo").hidden = !undo;
  $("gallery-notice").hidden = !text;
}

/** Whether more pictures of a set are on their way. */
const isBusy = (set) => set.element.getAttribute("aria-busy") === "true";

/** Takes a set out of the page. */
function takeOut(set) {
  forgetImages(set.element);
  set.element.remove();
  shown.delete(set.id);
}

/** The files of a picture, in memory. */
async function held(set, shot) {
  const files = await Promise.all((shot.pair ? [false, true] : [false]).map((without) => picture(set, shot, without)));
  return Promise.all(files.map(async (file) => new Blob([await file.arrayBuffer()], { type: "image/png" })));
}

/** Deletes one picture of a set, or all of them; until something else happens they can be had back. */
async function discard(set, gone) {
  // Those that another tab deleted cannot be had back.
  const back = (await Promise.all(gone.map(async (shot) => ({ shot, blobs: await held(set, shot).catch(() => undefined) })))).filter(({ blobs }) => blobs);
  const before = set.shots;
  set.shots = before.filter((shot) => !gone.includes(shot));
  const whole = set.shots.length === 0 && !isBusy(set);
  const place = whole ? set.element : [...set.list.children].find((element) => shots.get(element)?.shot === gone[0]);
  const next = place.nextSibling;
  forgetImages(place);
  place.remove();
  if (whole) shown.delete(set.id);
  await forgetPictures(set.id, gone.map(({ seed }) => seed), whole).catch(() => {});
  count();
  notice(t("make.removed", gone.length), back.length > 0 && (async () => {
    set.shots = before;
    shown.set(set.id, set);
    // From here until their files are written again.
    for (const { shot, blobs } of back) shot.blobs = blobs;
    (whole ? $("sets") : set.list).insertBefore(place, next?.isConnected ? next : null);
    watchImages(place);
    await keepSettings(set.id, set.settings).catch(() => {});
    for (const { shot, blobs } of back) await keep(set, shot, blobs);
    count();
    place.querySelector("button, input")?.focus();
  }));
  $("gallery-undo").focus();
}

const handlers = {
  discard,
  large: (element) => view(element, { discard, ...actions }),
};

/** Writes the files of a picture; if they cannot be kept they stay in this tab. */
async function keep(set, shot, blobs) {
  shot.blobs = blobs;
  try {
    for (const [at, blob] of blobs.entries()) await roomFor(() => keepPicture(set.id, shot.seed, at === 1, blob));
    // From now on they need no memory.
    shot.blobs = undefined;
  } catch (error) {
    notice(t("make.notKept", error.message));
  }
}

/** Writes; where the browser gives no more room, the oldest pictures make some. */
async function roomFor(write) {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      const oldest = error.name === "QuotaExceededError" && (await listKept()).slice(1).at(-1);
      if (!oldest) throw error;
      await drop({ id: oldest.id, seeds: oldest.shots.map(({ seed }) => seed) });
    }
  }
}

async function drop({ id, seeds }) {
  await forgetPictures(id, seeds, true);
  waiting = waiting.filter((set) => set.id !== id);
  if (shown.has(id)) takeOut(shown.get(id));
}

/** Only so many are kept: the oldest go, and that is said. */
async function limit() {
  const over = await tooMany().catch(() => []);
  for (const set of over) await drop(set);
  if (over.length > 0) notice(t("make.oldest", MOST));
  count();
}

/** Brings what is being made into view, with the whole prompt that it is made from above it. */
function reveal(tile) {
  const [composer, place] = [$("prompt").parentElement, $("sets").closest(".place").getBoundingClientRect()];
  if (composer.getBoundingClientRect().top >= Math.max(0, place.top) && tile.getBoundingClientRect().bottom <= Math.min(innerHeight, place.bottom)) return;
  composer.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
}

/** Pictures about to be made; gives what their progress is told to: `step(seed, share)`, `sketch(seed, blob)`, `done(seed, blobs)`,
 * `end()`. */
export function beginSet(settings, seeds, pair) {
  const set = { id: newId(), settings, shots: [] };
  shown.set(set.id, set);
  notice("");
  const element = setElement(set);
  const tiles = new Map(seeds.map((seed) => [seed, waitingElement(seed)]));
  set.list.append(...[...tiles.values()].map(({ element }) => element));
  element.setAttribute("aria-busy", "true");
  $("sets").prepend(element);
  count();
  reveal(set.list.firstElementChild);
  let described;
  return {
    element,
    step: (seed, share) => tiles.get(seed).step(share),
    sketch: (seed, blob) => tiles.get(seed).sketch(blob),
    async done(seed, blobs) {
      const shot = { seed, pair, blobs };
      set.shots.push(shot);
      tiles.get(seed).element.replaceWith(shotElement(set, shot, handlers));
      tiles.delete(seed);
      described ??= roomFor(() => keepSettings(set.id, settings)).catch(() => {});
      await described;
      await keep(set, shot, blobs);
      count();
    },
    async end() {
      for (const { element } of tiles.values()) element.remove();
      element.removeAttribute("aria-busy");
      if (set.shots.length === 0) takeOut(set);
      await limit();
    },
  };
}

/** Offers two ways, `{title, text?, no, yes}`, where `text` is what the second would lose; `chosen` is called with whether it is the second, if it
 * is one of them. */
export function choice(texts, chosen) {
  const dialog = $("gallery-sure");
  for (const part of ["title", "text", "no", "yes"]) say(`gallery-sure-${part}`, texts[part]);
  $("gallery-sure-yes").classList.toggle("danger-text", Boolean(texts.text));
  dialog.returnValue = "";
  dialog.onclose = () => dialog.returnValue && chosen(dialog.returnValue === "yes");
  dialog.showModal();
}

function askAll() {
  const pictures = [...shown.values(), ...waiting].reduce((sum, { shots }) => sum + shots.length, 0);
  const yes = t(pictures === 1 ? "make.remove" : "make.removeAll");
  choice({ title: t("make.sureTitle", pictures), text: t("make.sure", pictures), no: t("make.keepThem", pictures), yes }, (sure) => sure && removeAll());
}

async function removeAll() {
  for (const set of [...shown.values()]) if (!isBusy(set)) takeOut(set);
  waiting = [];
  await forgetAll().catch(() => {});
  notice("");
  count();
  announce(t("make.allRemoved"));
  $("prompt").focus();
}

/** Makes the gallery work, and shows what is kept. */
export async function gallery(given) {
  actions = given;
  $("gallery-undo").addEventListener("click", () => {
    const undo = restore;
    notice("");
    undo?.();
  });
  $("gallery-dismiss").append(...bareButton("close", "").childNodes);
  $("gallery-dismiss").addEventListener("click", () => notice(""));
  $("gallery-clear").addEventListener("click", askAll);
  // Where the browser gives no storage (some private windows), the pictures of this visit are in the page all the same.
  waiting = await listKept().catch(() => []);
  await more();
}
