// The page: the frame, and its rooms. Each room turns what is done in it into requests to the Worker, and the engine's events into text,
// bars and pictures; what they share is in base/studio.js.

import { dropTarget } from "./base/drop.js";
import { frame } from "./base/frame.js";
import { learnRoom } from "./learn/learning.js";
import { makeRoom } from "./make/make.js";
import { modelsRoom } from "./models/models.js";
import { startRoom } from "./start/welcome.js";
import { restoreWords, wordsRoom } from "./words/shelf.js";

frame();
startRoom();
learnRoom();
makeRoom();
modelsRoom({ loaded: restoreWords });
wordsRoom();
dropTarget();
