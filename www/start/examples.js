// The examples that come with the page: pictures that its small model does not know, and what can be learned from them.

import { notHere } from "../base/text.js";
import { learnNow } from "../learn/learning.js";

const place = (folder, name) => new URL(`examples/${folder}/${name}`, document.baseURI).href;

function example(id, folder, names, about) {
  return { id, folder, pictures: names.map((name) => place(folder, `${name}.png`)), captions: names.map((name) => place(folder, `${name}.txt`)), ...about };
}

/** Sets of pictures that are drawn in the styles that the model knows. */
const STYLES = ["3d", "flat", "noto", "twemoji"];

/** Their settings: previews often enough to watch the word come, and few steps and vectors, which are enough for them. */
const WATCHED = { steps: 300, vectors: 2, "preview-every": 25, "preview-steps": 8 };

/** `{id, token, init, kind, prompt, pictures, captions, settings}`; pictures and captions are addresses. */
export const examples = [
  example("peach", "peach", STYLES, { token: "<peach>", init: "apple", kind: "object", prompt: "a <peach> on a blue background", settings: WATCHED }),
  example("taxi", "taxi", STYLES, { token: "<taxi>", init: "car", kind: "object", prompt: "a <taxi> on a blue background", settings: WATCHED }),
];

/** Fetches the pictures of an example, with their captions, as files. */
async function files({ pictures, captions }) {
  const fetched = async (address) => {
    const response = await fetch(address);
    if (!response.ok) throw new Error(notHere());
    return response.blob();
  };
  const name = (address) => address.slice(address.lastIndexOf("/") + 1);
  return Promise.all(pictures.map(async (address, i) => ({
    file: new File([await fetched(address)], name(address), { type: "image/png" }), caption: (await (await fetched(captions[i])).text()).trim(),
  })));
}

/** Learns an example at once: brings the model if there is none, and shows what happens. */
export function learnExample(id) {
  const { token, init, kind, prompt, settings, ...about } = examples.find((one) => one.id === id);
  return learnNow({ token, init, kind, prompt, settings, pictures: () => files(about) });
}
