// The first ten seconds: what this page does, shown; one button that does it; and the way to one's own pictures.

import { $, h } from "../base/dom.js";
import { span, t } from "../base/text.js";
import { now, onChange, say, turnTo } from "../base/studio.js";
import { mine } from "../learn/own.js";
import { recordOf } from "../models/stored.js";
import { lacking } from "./browsers.js";
import { examples, learnExample } from "./examples.js";
import { probe } from "./probe.js";

const shown = (id, part, i) => h("img", { src: new URL(`pictures/${id}-${part}-${i}.webp`, import.meta.url).href, alt: "", width: 160, height: 160, decoding: "async" });
const four = (id, part) => [0, 1, 2, 3].map((i) => shown(id, part, i));

let chosen = examples[0];

/** Tells the story of an example: its pictures, its word, pictures with the word. */
function tell(example) {
  chosen = example;
  for (const [place, part] of [["story-photos", "photo"], ["story-made", "made"]]) {
    $(place).replaceChildren(...four(example.id, part));
    $(place).setAttribute("aria-label", t(part === "photo" ? "start.photos" : "start.made", example.token));
  }
  say("story-word", example.token);
  say("learn-example", t("start.learn", example.token));
}

function choice(example) {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name: "example", value: example.id, checked: example === chosen, onchange: () => tell(example) }),
    shown(example.id, "photo", 0), h("span", { class: "choice-name" }, t("start.names")[example.id], h("code", {}, example.token)));
}

/** What keeps this browser from learning. */
let missing;

/** Whether the mini model is here in the version that this page was assembled with, by how its hash begins; the sources name none. */
async function isHere() {
  const here = await recordOf("mini");
  return here?.whole && here.version?.startsWith(document.documentElement.dataset.mini ?? "");
}

/** Says what the button needs, once that is known; or that it cannot work here. */
async function needs() {
  say("example-note", t("start.asking"));
  missing = await lacking();
  if (missing) {
    say("start-problem", `${missing.what} ${missing.todo}`);
    return say("example-note");
  }
  const [found, stored] = await Promise.all([probe(), isHere()]);
  say("example-note", t("start.needs", { stored, time: found.seconds && span(found.seconds), shaky: found.shaky, gpu: found.gpu, software: found.software }));
}

/** Makes the room work. */
export function startRoom() {
  tell(chosen);
  $("examples").append(...examples.map(choice));
  $("learn-example").addEventListener("click", () => learnExample(chosen.id));
  $("own").addEventListener("click", async () => {
    await mine();
    turnTo("teach");
    $("teach-title").focus();
  });
  onChange(() => now() !== "welcome" && !missing && say("start-problem"));
  // After the page is painted: nothing waits for it.
  setTimeout(needs);
}
