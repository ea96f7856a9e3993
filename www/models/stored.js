// What this page keeps on the visitor's disk: seen, loaded and deleted here.

import { $, button, h } from "../base/dom.js";
import { size, t } from "../base/text.js";
import { announce, call, onChange, say, studio, using } from "../base/studio.js";
import { called, form } from "./state.js";

/** What the engine keeps beside a model's files: asked nobody but the browser's own file system. Nothing where there is none. */
export async function recordOf(name) {
  try {
    const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
    for await (const folder of models.values()) for (const file of ["record.json", "record.coming.json"]) {
      const record = await folder.getFileHandle(file).then((found) => found.getFile()).then((file) => file.text()).then(JSON.parse).catch(() => undefined);
      if (record?.name === name) return record;
    }
  } catch {
    // As if there were none.
  }
  return undefined;
}

let load = () => {};
let removed = () => {};

/** Asks before a model is deleted: what is lost, and what is not. */
function confirm(item, model) {
  const keep = button(t("models.keep"), () => item.replaceWith(line(model)));
  const remove = button(t("models.deleteNow"), () => using("stored-problem", async () => {
    await call("library.remove", model.name);
    removed(model.name);
    announce(t("models.deleted", called(model.name)));
    await list();
    $("stored-models").querySelector("summary").focus();
  }), { kind: "danger" });
  item.replaceChildren(h("div", { class: "note" }, h("p", {}, t("models.confirm", { name: called(model.name), bytes: size(model.bytes) })), h("div", { class: "row" }, remove, keep)));
  keep.focus();
}

function line(model) {
  const { name, bytes, here, of, whole, eight } = model;
  const item = h("li");
  item.append(
    h("span", { class: "line-text" }, h("strong", {}, called(name)), h("small", {}, of && !whole ? t("models.part", { bytes: size(here), of: size(of) }) : form(size(bytes), eight))),
    h("span", { class: "row" },
      name === studio.model ? h("small", { class: "chip" }, t("models.inUse")) : of > 0 && button(t(whole ? "models.load" : "models.resume"), () => load(name, whole), { of: called(name) }),
      button(t("models.delete"), () => confirm(item, model), { of: called(name), kind: "plain" })),
  );
  return item;
}

async function list() {
  const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
  const persisted = await navigator.storage?.persisted?.();
  say("quota", quota ? t(persisted ? "models.quotaKept" : "models.quota", { usage: size(usage), quota: size(quota) }) : "");
  // What was only looked for has a folder, and nothing in it.
  const models = (await call("library.stored")).filter(({ bytes }) => bytes > 0);
  $("stored").replaceChildren(...(models.length > 0 ? models.map(line) : [h("li", { class: "quiet" }, t("models.noneStored"))]));
}

/** Makes the list work: it is made when it is opened, and again when models come. */
export function storedModels(actions) {
  ({ load, removed } = actions);
  const place = $("stored-models");
  place.addEventListener("toggle", () => place.open && using("stored-problem", list));
  let model = studio.model;
  onChange(() => {
    for (const one of $("stored").querySelectorAll("button")) one.disabled = studio.busy;
    if (place.open && model !== studio.model && !studio.busy) using("stored-problem", list);
    if (!studio.busy) model = studio.model;
  });
}
