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

// The settings are the engine's: whoever looks at them before there is a model gets its code then. A failure shows where
// the engine is asked for something.
for (const [id, sign] of [["settings", "toggle"], ["make", "focusin"]]) {
  $(id).addEventListener(sign, () => client().catch(() => {}), { once: true });
}

const missing = await lacking();
if (missing) {
  $("problem").textContent = missing;
  $("problem").hidden = false;
}

// Only where tools/web/assemble put it: from the sources, nothing is to come from yesterday.
if (document.documentElement.dataset.offline !== undefined) {
  // Without it the page works as well, with a network.
  navigator.serviceWorker?.register("offline.js").catch(() => {});
}
