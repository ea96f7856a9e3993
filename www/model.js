// Card 1: which model, where it is from, and what it takes to have it.

import { button } from "./pictures.js";
import { askedPrecision, offerPrecision, precisionChoice, sayPrecision } from "./precision.js";
import { partName } from "./settings.js";
import { $, announce, ask, call, changed, mirror, onChange, say, size, span, studio, useHub, using } from "./studio.js";

/** Why this browser cannot run the engine, in words; nothing if it can. */
export async function lacking() {
  if (!globalThis.isSecureContext) return "Open this page over https, or from localhost: browsers offer the GPU only there.";
  if (!navigator.gpu) {
    return "This browser offers no WebGPU. Chrome and Edge have it since version 113, Safari since 26, Firefox on Windows since 141; "
      + "on Linux, Chrome needs chrome://flags/#enable-unsafe-webgpu.";
  }
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) return "The browser has WebGPU but offers no graphics adapter: look at chrome://gpu, and update the graphics driver.";
  return undefined;
}

/** Called with the model's name when one is loaded. */
let whenLoaded = async () => {};
/** The plan that the user is asked about. */
let planned;
/** The last model, to be loaded again after the engine broke. */
let last;

function show(part) {
  for (const id of ["model-choice", "plan", "fetching"]) $(id).hidden = id !== part;
}

async function look(typed, precision) {
  const missing = await lacking();
  if (missing) throw new Error(missing);
  say("model-status", "Starting the engine…");
  const found = await ask("plan", { typed, precision }, (event) => event.event === "warning" && say("model-status", event.text));
  if (found.stored) return open(found.name);
  planned = found;
  const rest = found.bytes - found.here;
  const free = found.free === undefined || found.free === null ? "" : `; the browser has ${size(found.free)} free for this page`;
  const kept = found.here > 0 ? `, of which ${size(found.here)} are already here` : "";
  const notes = found.notes.map((note) => ` ${note}.`).join("");
  say("plan-text", `${found.name}: ${size(found.bytes)} in ${found.files.length} files${kept}${free}.${notes}`);
  if (typed === "mini" && (found.free ?? Infinity) > rest) return bring();
  say("model-status");
  show("plan");
  $("fetch").focus();
}

async function bring() {
  const stop = new AbortController();
  $("fetch-stop").onclick = () => stop.abort();
  show("fetching");
  // Asked now, when the user has just said that they want to keep something.
  await navigator.storage?.persist?.();
  try {
    const name = await ask("bring", { plan: planned.plan }, (event) => {
      if (event.event === "warning") say("model-status", event.text);
      if (event.event !== "fetch") return;
      $("fetch-progress").value = event.done / event.total;
      const left = event.left === undefined ? "" : `, ${span(event.left)} left`;
      say("model-status", `${event.file}: ${size(event.done)} of ${size(event.total)}, ${size(event.rate)}/s${left}`);
    }, stop.signal);
    await open(name);
  } catch (error) {
    show("model-choice");
    say("model-status", stop.signal.aborted ? "Stopped; what was downloaded is kept." : "");
    if (!stop.signal.aborted) throw error;
  }
}

async function open(name, files) {
  show(undefined);
  let device = "";
  await ask("open", { name, files, precision: askedPrecision() }, (event) => {
    if (event.event === "device") device = event.name;
    if (event.event === "precision") sayPrecision(event.reason);
    if (event.event === "warning") say("model-problem", event.text);
    if (event.event === "load") say("model-status", `Loading the ${partName(event.part)}: ${event.done} of ${event.total}`);
  });
  last = { name, files };
  studio.model = name;
  $("other").hidden = false;
  for (const id of ["problem", "reload"]) $(id).hidden = true;
  const called = name === "mini" ? "The mini model" : name;
  say("model-status", `${called} is ready${device ? ` on ${device}` : ""}.`);
  await offerPrecision();
  announce(`${called} is ready.`);
  await whenLoaded(name);
}

/** The files of a chosen folder by their paths in it. */
function within(list) {
  const files = {};
  for (const file of list) files[file.webkitRelativePath.split("/").slice(1).join("/")] = file;
  return files;
}

const failing = (work) => () => using("model-problem", async () => {
  try {
    await work();
  } catch (error) {
    say("model-status", "No model is loaded.");
    show("model-choice");
    throw error;
  }
}, { long: true });

/** Makes the card work; `loaded` is called with the name of each model that is. */
export function modelCard(loaded) {
  whenLoaded = loaded;
  $("load").addEventListener("click", failing(() => look("mini", "full")));
  $("hub-form").addEventListener("submit", (event) => {
    event.preventDefault();
    failing(() => look($("repo").value.trim(), $("half").checked ? "half" : "full"))();
  });
  $("hub").value = mirror();
  $("hub").addEventListener("change", () => using("model-problem", () => useHub($("hub").value.trim())));
  $("folder").addEventListener("change", failing(async () => {
    const missing = await lacking();
    if (missing) throw new Error(missing);
    const [first] = $("folder").files;
    if (!first) return;
    await open(first.webkitRelativePath.split("/")[0], within($("folder").files));
  }));
  $("checkpoint").addEventListener("change", failing(async () => {
    const missing = await lacking();
    if (missing) throw new Error(missing);
    const [file] = $("checkpoint").files;
    if (file) await open(file.name, { [file.name]: file });
  }));
  precisionChoice();
  $("fetch").addEventListener("click", failing(bring));
  $("dismiss").addEventListener("click", () => show("model-choice"));
  $("other").addEventListener("click", () => show("model-choice"));
  $("reload").addEventListener("click", failing(() => open(last.name, last.files)));
  onChange(() => {
    for (const id of ["load", "fetch", "reload", "other"]) $(id).disabled = studio.busy;
  });
}

/** Makes the list of what is stored. */
export function storedCard() {
  const list = async () => {
    const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
    const persisted = await navigator.storage?.persisted?.();
    if (quota) {
      say("quota", `It uses ${size(usage)} of ${size(quota)}; the browser ${persisted ? "keeps it until then" : "may clear it when the disk is full"}.`);
    }
    const models = await call("library.stored");
    $("stored").replaceChildren(...models.map(({ name, bytes, of, whole }) => {
      const item = document.createElement("li");
      const part = whole ? size(bytes) : `${size(bytes)} of ${size(of)}, not complete`;
      item.append(`${name}: ${part} `, button("Delete", () => using("stored-problem", async () => {
        await call("library.remove", name);
        await list();
      }), `Delete ${name}`));
      return item;
    }));
    if (models.length === 0) $("stored").replaceChildren(Object.assign(document.createElement("li"), { textContent: "No model." }));
  };
  $("look").addEventListener("click", () => using("stored-problem", list));
  onChange(() => ($("look").disabled = studio.busy));
  changed();
}
