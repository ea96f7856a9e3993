// What came of a run: the verdict on the word, and what to do with it.

import { $, button, save } from "../base/dom.js";
import { fileStem, t } from "../base/text.js";
import { formats } from "../base/settings.js";
import { say, turnTo, using } from "../base/studio.js";
import { makeNow } from "../make/make.js";
import { exported, find } from "../words/shelf.js";

/** Says what the engine thinks of a word: `{level, gain, length}`, or nothing where it could not be measured. */
function judged(verdict) {
  if (!verdict) return t("learn.verdict.unknown");
  const percent = Math.round(100 * verdict.gain);
  return t(`learn.verdict.${verdict.level}`, { percent, long: verdict.length > LONG });
}

/** Vectors that are so many times as long as the model's own words are too long. */
const LONG = 10;

/** The files that most people want; the shelf gives every other. */
const WANTED = ["diffusers", "a1111"];

/** Shows a word that was learned: `{token, stopped, verdict, prompt, word?}`, where `verdict` is the engine's, and `word` the shelf's: it may be
 * renamed or put away while this is shown. */
export function showLearned({ token, stopped, verdict, prompt, word = find(token) }) {
  say("learning-title", t(stopped ? "learn.stoppedOf" : "learn.learnedOf", token));
  say("verdict", judged(verdict));
  $("learned").dataset.level = verdict?.level ?? "";
  $("downloads").replaceChildren(`${t("learn.download")}:`, ...formats().filter(({ value }) => WANTED.includes(value)).map(({ value, label, ending }) => button(label, () => using("run-problem", async () => {
    save(await exported(word, value), `${fileStem(word.token)}.${ending}`);
  }), { label: t("words.downloadFor", { token, program: label }) })));
  $("make-with").onclick = () => {
    turnTo("make");
    makeNow({ prompt: prompt.replaceAll(token, word.token) });
  };
  $("learned").hidden = false;
  for (const id of ["run-head", "run-buttons"]) $(id).hidden = true;
  turnTo("learned");
  $("learning-title").focus();
}
