// What the rooms of the page share: the engine, whether it is busy, what is loaded and learned, and how messages are shown.

import { $, button, h } from "./dom.js";
import { BrokenEngine, EngineClient, EngineError } from "./engine.js";
import { fill, labels } from "./settings.js";
import { engineText, notHere, t } from "./text.js";

/** The page's one engine. `model` is the name of the model that is loaded, once one is, and `facts` what the engine
 * says of it; `words` are the embeddings that prompts can
 * use, by their tokens, as the shelf keeps them. */
export const studio = { client: undefined, started: undefined, model: undefined, facts: undefined, busy: false, long: false, words: new Map() };

const events = new EventTarget();

/** Calls `listener` whenever the engine becomes busy, idle, loaded or broken, and when the embeddings change. */
export const onChange = (listener) => events.addEventListener("change", listener);

export const changed = () => events.dispatchEvent(new Event("change"));

/** What is done now: `"welcome"`, `"teach"`, `"learning"`, `"learned"` or `"make"`. The layout makes it large and folds the rest. */
export const now = () => document.body.dataset.now;

export function turnTo(what) {
  document.body.dataset.now = what;
  // The browser's way back leads to the start before it leads out of the page.
  if (what !== "welcome") inside(what);
  else if (history.state?.inside) history.back();
  changed();
}

const inside = (what) => history[history.state?.inside ? "replaceState" : "pushState"]({ inside: what }, "");

addEventListener("popstate", ({ state }) => {
  if ((state?.inside ?? "welcome") === now()) return;
  // What is being done is not left by one press; the browser asks before the next one leaves the page.
  if (studio.long) inside(now());
  else turnTo(state?.inside ?? "welcome");
});

const HUB = "hub";
const query = () => new URLSearchParams(location.search);

/** What the page's own address asks for: `?hub=`, `?model=`, `?concept=`. */
export const asked = (name) => query().get(name) ?? undefined;

/** A button that copies the address which opens this page with a look at something: `"model"` or `"concept"`, and its repository. */
export function copyLink(key, value) {
  const copy = button(t("page.copyLink"), async () => {
    const address = new URL(location.pathname, location.origin);
    address.searchParams.set(key, value);
    // As people write it.
    await navigator.clipboard.writeText(address.href.replaceAll("%2F", "/"));
    copy.textContent = t("page.copied");
  }, { kind: "plain" });
  return copy;
}

/** Whether something is the address of a server. */
const isWeb = (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

/** The address of a mirror of the Hub: `?hub=` in the page's own address, if that is one. */
export const mirror = () => (isWeb(asked(HUB)) ? asked(HUB) : undefined);

/** Where the mini model is, and the Hub. */
const places = () => ({ mini: new URL("models/mini/", document.baseURI).href, hub: mirror() });

/** Takes another address of the Hub, or the usual one if there is none; the page's own address keeps it for the next visit. */
export async function useHub(typed) {
  if (typed && !isWeb(typed)) throw new Error(t("models.noMirror", typed));
  const address = new URL(location);
  if (typed) address.searchParams.set(HUB, typed);
  else address.searchParams.delete(HUB);
  const former = location.href;
  // First, because an engine that could not start with the former address starts with this one.
  history.replaceState(history.state, "", address);
  try {
    await ask("hub", places());
  } catch (error) {
    history.replaceState(history.state, "", former);
    throw error;
  }
}

/** The Worker, started when it is first needed: its code is fetched then. */
export function client() {
  studio.client ??= new EngineClient();
  studio.started ??= studio.client.ask("start", { ...places(), labels: labels() }).then((choices) => {
    performance.mark("pseudoword:engine");
    fill(choices);
  }).catch((error) => {
    // So that it can be tried again, by another Worker: one whose code did not come answers nobody.
    studio.client?.close();
    Object.assign(studio, { client: undefined, started: undefined });
    throw error instanceof EngineError && !error.code && LOST.test(error.message) ? new Error(notHere()) : error;
  });
  return studio.started.then(() => studio.client);
}

/** Asks the Worker. */
export async function ask(type, request, onEvent, signal) {
  return (await client()).ask(type, request, onEvent, signal);
}

/** Calls a method in the Worker: `"storage.get"` with its arguments. */
export const call = (method, ...args) => ask(method, { args });

export function say(place, text) {
  $(place).textContent = text ?? "";
}

/** Adds a line to what is said at a place: a job may warn of several things, and each is said once. `more` is folded away below it. */
export function add(place, text, more) {
  let line = [...$(place).children].find(({ firstChild }) => firstChild.data === text);
  if (!line) $(place).append((line = h("div", {}, text)));
  if (!more || line.textContent.includes(more)) return;
  if (!line.lastElementChild) line.append(h("details", { class: "quiet" }, h("summary", {}, t("engine.says"))));
  line.lastElementChild.append(h("p", { lang: "en" }, more));
}

/** Says what the engine warns of: in the page's words, by its code; what the engine says itself is exact, and in English. */
export async function warn(place, { code, text }) {
  const said = await engineText("codes", code);
  add(place, said ?? text, said && text);
}

/** For those who do not see the page: only what changes the state of things. */
export const announce = (text) => say("announcer", text);

/** What was asked for last, so that the next thing can wait for it. */
let latest = Promise.resolve();

/** Does one thing with the engine, which does one at a time: short ones wait for each other, but nothing waits for a `long`
 * one. Whatever goes wrong is said at `place`. */
export function using(place, work, { long = false } = {}) {
  if (studio.long) return say(place, t("engine.busy"));
  studio.long = long;
  latest = latest.then(() => alone(place, work)).finally(() => {
    if (long) studio.long = false;
    changed();
  });
  return latest;
}

/** What browsers say where a file, or a module of the page's own, does not come. */
const LOST = /fetch|load failed|import\w* (a )?module/i;

/** As a sentence begins; a name stays as it is. */
const capital = (text) => text.replace(/^[a-z]+(?=[ ,:]|$)/, (word) => word[0].toUpperCase() + word.slice(1));

/** Why something went wrong, `[said, more?]`: in the page's words, and in the engine's own, in English, where it has others. Without a network
 * it is that, whatever the engine makes of it. */
export async function reasonOf(error) {
  const { message, code, parts } = error;
  const lost = LOST.test(message);
  if (!(error instanceof EngineError)) return [lost && error instanceof TypeError ? notHere() : message];
  const said = !navigator.onLine && lost ? notHere() : await engineText("errors", code, parts);
  // What a sentence can be made with is no sentence yet.
  if (code?.startsWith("gpu") && said) return [`${capital(said)}. ${t("engine.help")}`, message];
  return said ? [said, message] : [t("engine.error", capital(message))];
}

/** Says why something went wrong. */
export async function complain(place, error) {
  const reason = await reasonOf(error);
  say(place);
  add(place, ...reason);
  // What the visitor wanted is no fault.
  if (error.quiet) $(place).firstChild.className = "quiet";
}

async function alone(place, work) {
  studio.busy = true;
  changed();
  say(place);
  try {
    await work();
  } catch (error) {
    // Then the message is at the top of the page, with what to do.
    if (error instanceof BrokenEngine) await broken(error);
    else await complain(place, error);
  } finally {
    studio.busy = false;
  }
}

/** Shows what keeps the page from working, at its top. */
export function problem(text, more) {
  say("problem-text");
  if (text) add("problem-text", text, more);
  $("problem").hidden = !text;
}

/** The engine cannot be used any more: a lost device, no memory, or our mistake. */
async function broken({ message, code }) {
  studio.client?.close();
  Object.assign(studio, { client: undefined, started: undefined, model: undefined, facts: undefined });
  if ($("model-status")) say("model-status", t("engine.gone"));
  const said = await engineText("errors", code);
  problem(`${t("engine.broken", said ?? message)} ${t("engine.help")}`, said && message);
  $("reload").hidden = false;
}
