// The page: the frame, and its rooms. Each room turns what is done in it into requests to the Worker, and the engine's events into text,
// bars and pictures; what they share is in base/studio.js.

import { dropTarget } from "./base/drop.js";
import { frame } from "./base/frame.js";
import { learnRoom } from "./learn/learning.js";
import { makeRoom, useWord } from "./make/make.js";
import { modelsRoom } from "./models/models.js";
import { startRoom } from "./start/welcome.js";
import { addFiles, restoreWords, wordsRoom } from "./words/shelf.js";

const show = () => (document.body.dataset.ready = "seen");

// The words come last: a link to one opens a dialog, and nothing has the focus before it can be seen.
for (const begin of [frame, startRoom, learnRoom, makeRoom, () => modelsRoom({ loaded: restoreWords, word: addFiles }), dropTarget, show, () => wordsRoom({ use: useWord })]) {
  await begin();
  // The browser may do what it has to: all of them in one go would be longer than it can be kept waiting on a slow computer.
  await (globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve)));
}
document.body.dataset.ready = "whole";
