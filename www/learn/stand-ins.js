// Until the rooms of models and words are there: what learning needs of them.

import { ask, call, changed, studio } from "../base/studio.js";

export async function withModel({ report = () => {} } = {}) {
  const models = await import("../models/models.js").catch(() => ({}));
  if (models.withModel) return models.withModel({ report });
  if (studio.model) return studio.model;
  const found = await ask("plan", { typed: "mini", precision: "full" });
  const name = found.stored ? found.name : await ask("bring", { plan: found.plan }, (event) => event.event === "fetch" && report(`${event.file}`, event.done / event.total));
  await ask("open", { name }, (event) => event.event === "load" && report(`Loading the ${event.part}`, event.done / event.total));
  studio.model = name;
  changed();
  return name;
}

export async function keepWord(bytes, name, about) {
  const shelf = await import("../words/shelf.js").catch(() => ({}));
  if (shelf.keepWord) return shelf.keepWord(bytes, name, about);
  return call("engine.addEmbedding", bytes, name, undefined);
}
