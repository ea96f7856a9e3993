// What the cards of the page share: the engine, whether it is busy, and how messages are shown.

import { BrokenEngine, EngineClient } from "./engine.js";
import { fill, labels } from "./settings.js";

export const $ = (id) => document.getElementById(id);
export const number = (id) => $(id).valueAsNumber;

/** The page's one engine. `model` is the name of the model that is loaded, once one is. */
export const studio = { client: undefined, started: undefined, model: undefined, busy: false, long: false };

const changes = new EventTarget();

/** Calls `listener` whenever the engine becomes busy, idle, loaded or broken. */
export function onChange(listener) {
  changes.addEventListener("change", listener);
}

export function changed() {
  changes.dispatchEvent(new Event("change"));
}

const HUB = "hub";

/** Where the mini model is, and the Hub: `?hub=` in the page's own address names a mirror of it. */
function places() {
  const hub = new URLSearchParams(location.search).get(HUB) ?? undefined;
  return { mini: new URL("models/mini/", document.baseURI).href, hub };
}

/** Takes another address of the Hub, or the usual one if there is none; the page's own address keeps it for the next visit. */
export async function useHub(typed) {
  const address = new URL(location);
  if (typed) address.searchParams.set(HUB, typed);
  else address.searchParams.delete(HUB);
  await ask("hub", { ...places(), hub: typed || undefined });
  history.replaceState(null, "", address);
}

/** The address of a mirror, if one is used. */
export const mirror = () => places().hub ?? "";

/** The Worker, started when it is first needed: its code is fetched then. */
export function client() {
  studio.client ??= new EngineClient();
  studio.started ??= studio.client.ask("start", { ...places(), labels: labels() }).then(fill);
  return studio.started.then(() => studio.client);
}

/** Asks the Worker. */
export async function ask(type, request, onEvent, signal) {
  return (await client()).ask(type, request, onEvent, signal);
}

/** Calls a method in the Worker: `"storage.get"` with its arguments. */
export function call(method, ...args) {
  return ask(method, { args });
}

export function say(place, text) {
  $(place).textContent = text ?? "";
}

/** Adds a line to what is said at a place: a job may warn of several things, and each is said once. */
export function add(place, text) {
  const lines = $(place).textContent.split("\n").filter(Boolean);
  if (!lines.includes(text)) say(place, [...lines, text].join("\n"));
}

/** For those who do not see the page: only what changes the state of things. */
export function announce(text) {
  say("announcer", text);
}

/** What was asked for last, so that the next thing can wait for it. */
let latest = Promise.resolve();

/** Does one thing with the engine, which does one at a time: short ones wait for each other, but nothing waits for a `long`
 * one. Whatever goes wrong is said at `place`. */
export function using(place, work, { long = false } = {}) {
  if (studio.long) return say(place, "The engine is busy: wait for it, or stop it.");
  studio.long = long;
  latest = latest.then(() => alone(place, work)).finally(() => {
    if (long) studio.long = false;
    changed();
  });
  return latest;
}

async function alone(place, work) {
  studio.busy = true;
  changed();
  say(place);
  try {
    await work();
  } catch (error) {
    // Then the message is at the top of the page, with what to do.
    if (error instanceof BrokenEngine) broken(error);
    else say(place, error.message);
  } finally {
    studio.busy = false;
  }
}

/** The engine cannot be used any more: a lost device, no memory, or our mistake. */
function broken(error) {
  studio.client?.close();
  Object.assign(studio, { client: undefined, started: undefined, model: undefined });
  say("model-status", "The engine is not running.");
  $("problem").textContent =
    `The engine stopped: ${error.message}. Often the graphics card was reset or ran out of memory: close other programs that use `
    + "it, or set a smaller batch size. What was learned so far is saved; start the engine again to resume.";
  $("problem").hidden = false;
  $("reload").hidden = false;
}

export function span(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** A number of bytes for people: the rule of `base::bytes::size` in the engine, which runs in the Worker. */
export function size(bytes) {
  const megabytes = bytes / 1e6;
  if (megabytes < 1) return `${Math.ceil(bytes / 1000)} kB`;
  return megabytes < 999.5 ? `${megabytes.toFixed(megabytes < 9.95 ? 1 : 0)} MB` : `${(megabytes / 1000).toFixed(2)} GB`;
}

/** Hands a file to the user. */
export function save(bytes, name) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" })), download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const png = (bytes) => new Blob([bytes], { type: "image/png" });
export const fileStem = (text) => text.replace(/[^\p{L}\p{N}_-]/gu, "") || "word";
