// The page: four cards in the order in which one works, and what is kept. Each card turns what is typed into requests to the
// Worker, and the engine's events into words, bars and pictures.

import { learnCard } from "./learn.js";
import { makeCard } from "./make.js";
import { lacking, modelCard, storedCard } from "./model.js";
import { $ } from "./studio.js";
import { keepWord, wordsCard } from "./words.js";

const restoreWords = wordsCard();
const readyToLearn = learnCard(keepWord);
makeCard();
modelCard(async () => {
  await restoreWords();
  await readyToLearn();
});
storedCard();

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
