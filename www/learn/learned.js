// What came of a run: the verdict on the word, and what to do with it.

import { $ } from "../base/dom.js";
import { decimal, t } from "../base/text.js";
import { say, turnTo } from "../base/studio.js";
import { makeNow } from "../make/make.js";
import { giving, LONG } from "../words/details.js";
import { filesOf, find } from "../words/shelf.js";

/** From so much less error on, a word is much closer than the one that it started from. */
const MUCH = 0.4;

/** Says what the engine thinks of a word, `{level, gain, length}`, or nothing where it could not be measured: what it means for pictures, and
 * the numbers for those who want them. */
function judge(verdict, token, init) {
  $("verdict-numbers").hidden = !verdict;
  if (!verdict) return say("verdict", t("learn.verdict.unknown"));
  const { level, gain, length } = verdict;
  say("verdict", t(`learn.verdict.${level}`, { token, init: t("learn.verdict.init", init), much: gain >= MUCH, long: length > LONG }));
  say("verdict-error", t("learn.verdict.error", { percent: Math.round(100 * gain), length: decimal(length, 1) }));
}

/** Back to the form, with the pictures, and more steps; or fewer, if the word came out too strong. */
function learnAgain(steps, long) {
  turnTo("teach");
  $("steps").value = Math.ceil(long ? steps / 2 : steps * 2);
  $("steps").closest("details").open = true;
  $("steps").focus();
}

/** The files that most people want; the shelf gives every other. */
const WANTED = ["diffusers", "a1111", "diffusers-pair"];

/** Shows a word that was learned: `{token, init, steps, stopped, verdict, prompt, word?}`, where `verdict` is the engine's, and `word` the shelf's: it may be
 * renamed or put away while this is shown. */
export function showLearned({ token, init, steps, stopped, verdict, prompt, word = find(token) }) {
  say("learning-title", t(stopped ? "learn.stoppedOf" : "learn.learnedOf", token));
  judge(verdict, token, init);
  $("learned").dataset.level = verdict?.level ?? "";
  $("downloads").replaceChildren(`${t("learn.download")}:`, ...giving(word, "run-problem", filesOf, (value) => WANTED.includes(value)));
  $("make-with").onclick = () => {
    turnTo("make");
    makeNow({ prompt: prompt.replaceAll(token, word.token) });
  };
  $("again").hidden = verdict?.level === "good";
  $("again").onclick = () => learnAgain(steps, verdict?.length > LONG);
  $("learned").hidden = false;
  for (const id of ["run-head", "run-buttons"]) $(id).hidden = true;
  turnTo("learned");
  $("learning-title").focus();
}
