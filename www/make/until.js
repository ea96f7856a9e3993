// Stands in for what the rooms of models and words are about to offer; gone when they do.

import { ask, changed, studio } from "../base/studio.js";

export async function withModel() {
  const found = await ask("plan", { typed: "mini", precision: "full" });
  const name = found.stored ? found.name : await ask("bring", { plan: found.plan });
  await ask("open", { name });
  studio.model = name;
  changed();
}

export const words = () => [...studio.words].map(([token, about]) => ({ token, usable: true, ...about }));
