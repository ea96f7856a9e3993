// Card 3: the embeddings. They stay between visits.

import { BrokenEngine } from "./engine.js";
import { button } from "./pictures.js";
import { $, ask, call, fileStem, onChange, save, say, studio, using } from "./studio.js";

/** Where the embeddings that prompts can use are kept, by their tokens; nothing for those that could not be kept. */
const kept = new Map();

/** What is worth telling about the file of an embedding that was added. */
const notes = (about) => about.notes.map((note) => `${about.token}: ${note}.`);

/** Makes an embedding usable and lists it; `path` is where it is kept, if it is. */
async function add(bytes, name, { token, path } = {}) {
  const about = await call("engine.addEmbedding", bytes, name, token);
  kept.set(about.token, path);
  list(about);
  return about;
}

function list({ token, vectors }) {
  const item = document.createElement("li");
  item.dataset.token = token;
  const give = (format, ending) => () => using("words-problem", async () => {
    save(await call("engine.export", token, format), `${fileStem(token)}.${ending}`);
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
  await call("engine.removeEmbedding", token);
  const path = kept.get(token);
  if (path) await call("storage.remove", path);
  kept.delete(token);
  for (const item of $("words").children) if (item.dataset.token === token) item.remove();
}

/** What an embedding is to be called instead of by its own name, if anything. */
function otherName() {
  return $("word-name").value.trim() || undefined;
}

/** Keeps an embedding. */
export async function keepEmbedding(bytes, name, token) {
  // Kept as the engine writes it: no matter which format it came in, it can be read again.
  const about = await add(bytes, name, { token });
  const path = `words/${Date.now()}-${fileStem(about.token)}.safetensors`;
  const written = await call("engine.export", about.token, "diffusers");
  try {
    await call("storage.put", path, written);
  } catch (error) {
    if (error instanceof BrokenEngine) throw error;
    throw new Error(`${about.token} will be lost when this tab closes, so download it: ${error.message}`);
  }
  kept.set(about.token, path);
  return about;
}

/** Brings the kept embeddings to a model that was loaded; those for other kinds of models wait. */
async function restore() {
  kept.clear();
  $("words").replaceChildren();
  const told = [];
  const others = [];
  for (const file of await call("storage.list", "words")) {
    const path = `words/${file}`;
    try {
      told.push(...notes(await add(await call("storage.get", path), file, { path })));
    } catch (error) {
      others.push(error.message);
    }
  }
  // Of another kind of model, or of a name that this one has.
  if (others.length === 1) told.push(`A stored embedding cannot be used with this model: ${others[0]}.`);
  if (others.length > 1) told.push(`${others.length} stored embeddings cannot be used with this model; the first: ${others[0]}.`);
  if (told.length > 0) say("words-problem", told.join(" "));
}

/** Makes the card work. Gives what is to be called when a model is loaded. */
export function embeddingsCard() {
  $("word-files").addEventListener("change", ({ target }) => using("words-problem", async () => {
    const problems = [];
    const token = target.files.length === 1 ? otherName() : undefined;
    if (otherName() !== token) problems.push("One name is for one embedding: these files keep their own.");
    for (const file of target.files) {
      try {
        problems.push(...notes(await keepEmbedding(await file.arrayBuffer(), file.name, token)));
        if (token) $("word-name").value = "";
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
      const found = await ask("fetchEmbedding", { typed }, (event) => {
        if (event.event === "warning") say("words-problem", event.text);
      });
      const about = await keepEmbedding(found.bytes, found.name, otherName());
      $("word-name").value = "";
      const kind = found.kind ? ` (${found.kind})` : "";
      say("words-problem", notes(about).join(" "));
      // Unless the next one has been typed already.
      if ($("word-address").value === typed) $("word-address").value = "";
      use(about.token);
      say("make-status", `${about.token}${kind} from ${found.origin}`);
    });
  });
  onChange(() => {
    for (const id of ["word-files", "word-fetch", "word-name"]) $(id).disabled = !studio.model || studio.busy;
    for (const button of $("words").querySelectorAll("button")) button.disabled = studio.busy;
  });
  return restore;
}
