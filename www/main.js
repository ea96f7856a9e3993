// The page: the frame, and its rooms. Each room turns what is done in it into requests to the Worker, and the engine's events into text,
// bars and pictures; what they share is in base/studio.js.

import { frame } from "./base/frame.js";
import { modelsRoom } from "./models/models.js";
import { restoreWords, wordsRoom } from "./words/shelf.js";

frame();
modelsRoom({ loaded: restoreWords });
wordsRoom();
