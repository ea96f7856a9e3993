// Card 3: the shelf of words. What is on it stays between visits.

import { BrokenEngine } from "./engine.js";
import { button } from "./pictures.js";
import { $, ask, fileStem, onChange, save, say, studio, using } from "./studio.js";

/** Words that prompts can use: token to `{init, path}`; `init` is the phrase that stands in for it when pictures are compared. */
export const words = new Map();

/** Makes a word usable and lists it; `path` is where it is kept, if it is. */
async function add(bytes, name, { token, path } = {}) {
  const about = await ask("addWord", { bytes, name, token });
  words.set(about.token, { init: about.init ?? "", path });
  list(about);
  return about;
}

function list({ token, vectors }) {
  const item = document.createElement("li");
  item.dataset.token = token;
  const give = (format, ending) => () => using("words-problem", async () => {
    save(await ask("export", { token, format }), `${fileStem(token)}.${ending}`);
  });
  const code = Object.assign(document.createElement("code"), { textContent: token });
  item.append(
    code, ` ${vectors} ${vectors === 1 ? "vector" : "vectors"} `,
    button("Use", () => use(token), `Use ${token} in the prompt`), " ",
    button("For diffusers", give("diffusers", "safetensors"), `Download ${token} for diffusers`), " ",
    button("For A1111", give("a1111", "pt"), `Download ${token} for A1111`), " ",
    button("Remove", () => using("words-problem", () => forget(token)), `Remove ${token}`),
  );
  $("words").append(item);
}

function use(token) {
  const prompt = $("prompt");
  if (!prompt.value.includes(token)) prompt.value = `${prompt.value} ${token}`.trim();
  prompt.focus();
}

async function forget(token) {
  await ask("removeWord", { token });
  const { path } = words.get(token);
  if (path) await ask("remove", { path });
  words.delete(token);
  for (const item of $("words").children) if (item.dataset.token === token) item.remove();
}

/** Puts a word on the shelf. */
export async function keepWord(bytes, name, token) {
  // Kept as the engine writes it: whatever it came as, it can be read again.
  const about = await add(bytes, name, { token });
  const path = `words/${Date.now()}-${fileStem(about.token)}.safetensors`;
  const written = await ask("export", { token: about.token, format: "diffusers" });
  try {
    await ask("put", { path, bytes: written.buffer });
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    throw new Error(`${about.token} is gone when this tab closes, so download it: ${error.message}`);
  }
  words.get(about.token).path = path;
  return about;
}

/** Brings the kept words to a model that was loaded; those for other kinds of models wait. */
async function restore() {
  words.clear();
  $("words").replaceChildren();
  let others = 0;
  for (const file of await ask("list", { path: "words" })) {
    const path = `words/${file}`;
    try {
      await add(await ask("get", { path }), file, { path });
    } catch (error) {
      console.info(error.message);
      others += 1;
    }
  }
  if (others > 0) say("words-problem", `${others} kept ${others === 1 ? "word does" : "words do"} not fit this model, and ${others === 1 ? "waits" : "wait"} for one that it fits.`);
}

/** Makes the card work. Gives what is to be called when a model is loaded. */
export function wordsCard() {
  $("word-files").addEventListener("change", ({ target }) => using("words-problem", async () => {
    const problems = [];
    for (const file of target.files) {
      try {
        await keepWord(await file.arrayBuffer(), file.name);
      } catch (error) {
        problems.push(error.message);
      }
    }
    target.value = "";
    say("words-problem", problems.join(" "));
  }));
  $("word-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = $("word-address").value;
    using("words-problem", async () => {
      const found = await ask("fetchWord", { typed }, (event) => {
        if (event.event === "warning") say("words-problem", event.text);
      });
      const about = await keepWord(found.bytes.buffer, found.name);
      const kind = found.kind ? ` (${found.kind})` : "";
      say("words-problem");
      // Unless the next one stands there already.
      if ($("word-address").value === typed) $("word-address").value = "";
      use(about.token);
      say("make-status", `${about.token}${kind} from ${found.origin}`);
    });
  });
  onChange(() => {
    for (const id of ["word-files", "word-fetch"]) $(id).disabled = !studio.model || studio.busy;
    for (const button of $("words").querySelectorAll("button")) button.disabled = studio.busy;
  });
  return restore;
}
