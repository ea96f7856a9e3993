// The page: four cards in the order in which one works, and what is kept. Each card turns what is typed into requests to the
// Worker, and the engine's events into text, bars and pictures.

import { embeddingsCard, keepEmbedding } from "./embeddings.js";
import { learnCard } from "./learn.js";
import { makeCard } from "./make.js";
import { lacking, modelCard, storedCard } from "./model.js";
import { $, client } from "./studio.js";

const restoreEmbeddings = embeddingsCard();
const readyToLearn = learnCard(keepEmbedding);
makeCard();
modelCard(async () => {
  await restoreEmbeddings();
  await readyToLearn();
});
storedCard();

// The settings are the engine's: opening them before a model is loaded fetches its code. A failure shows where
// the engine is asked for something.
for (const [id, sign] of [["settings", "toggle"], ["make", "focusin"]]) {
  $(id).addEventListener(sign, () => client().catch(() => {}), { once: true });
}

const missing = await lacking();
if (missing) {
  $("problem").textContent = missing;
  $("problem").hidden = false;
}

// Only where tools/web/assemble put it: a page served from the sources must never be an old copy.
if (document.documentElement.dataset.offline !== undefined) {
  // Without it the page works too, but needs a network.
  navigator.serviceWorker?.register("offline.js").catch(() => {});
}
