// What came of a run: the verdict on the word, and what to do with it.

import { $, h } from "../base/dom.js";
import { decimal, t } from "../base/text.js";
import { complain, say, studio, turnTo } from "../base/studio.js";
import { makeNow } from "../make/make.js";
import { MINI } from "../models/state.js";
import { changed } from "./own.js";
import { sayUnlearned } from "./stage.js";
import { giving, LONG, worth } from "../words/details.js";
import { filesOf, find } from "../words/shelf.js";

/** Says what the engine thinks of a word: by its pictures, if it was tried and that was `found`; or by its loss, `{level, gain, length}`
 * (src/train/verdict.rs), or nothing where that could not be measured. What it means for pictures, and the numbers for those who want them.
 * `made` is how many steps were made. */
function judge(verdict, { token, init, made, mini, found }) {
  const { level = "unknown", gain, length } = verdict ?? {};
  say("verdict", found ? worth(found) : t(`learn.verdict.${level}`, { token, init: t("learn.verdict.init", init), made, closer: gain > 0, long: length > LONG, mini }));
  $("verdict-numbers").hidden = !verdict;
  if (!verdict) return;
  say("verdict-error", t("learn.verdict.error", { percent: Math.round(100 * gain), length: decimal(length, 1) }));
  // What it says itself is exact, and in English.
  if (found) $("verdict-error").append(h("p", { lang: "en" }, [found.text, found.advice].filter(Boolean).join("; ")));
}

/** How many steps to learn a word in again that was learned in so many and tried, by the advice; for other advice, steps stay. */
const STEPS = { near: (steps) => 2 * steps, copies: (steps) => Math.ceil(steps / 2) };

/** Back to the form, with the pictures; and with other steps, if those are to change. */
function learnAgain(steps) {
  turnTo("teach");
  // They are wanted again, so they are kept again.
  changed();
  if (!steps) return $("teach-title").focus();
  $("steps").value = steps;
  $("steps").closest("details").open = true;
  $("steps").focus();
}

/** The files that most people want; the shelf gives every other. */
const WANTED = ["diffusers", "a1111", "diffusers-pair"];

/** Shows a word that was learned: `{token, steps, made, verdict, found?, prompt, problem?, word?}`, where `verdict` and `found` are the engine's, and
 * `word` the shelf's: it may be renamed or put away while this is shown; `problem` is why it is not kept; `mini` is that the visitor's own pictures
 * were learned on the mini model. `learnOn` goes on where it was stopped, if it was, be it while the word was tried; `onPhotos` learns the same
 * on the model for photos. */
export function showLearned({ token, steps, verdict, prompt, problem, word = find(token), ...more }, { learnOn, onPhotos }) {
  const { found, made, mini } = more;
  const { level = "begun" } = found ?? verdict ?? {};
  const [begun, stopped] = [level === "begun", learnOn && made < steps];
  say("learning-title", stopped ? t("learn.stoppedOf", token) : begun ? t("learn.begunOf", token) : level === "poor" ? t("learn.triedOf", token) : t("learn.learnedOf", token));
  judge(verdict, { token, ...more });
  sayUnlearned();
  $("learned").dataset.level = level;
  say("kept-problem");
  if (problem) complain("kept-problem", problem);
  $("downloads").replaceChildren(t("learn.download", studio.model === MINI), ...giving(word, "kept-problem", filesOf, (value) => WANTED.includes(value)));
  $("make-with").onclick = () => {
    turnTo("make");
    makeNow({ prompt: prompt.replaceAll(token, word.token) });
  };
  const again = () => learnAgain(found ? STEPS[found["advice-code"]]?.(steps) : (verdict?.next ?? steps * 2));
  say("learn-on", t(stopped || begun ? "learn.learnOn" : "learn.howGood"));
  $("learn-on").hidden = !(learnOn || begun);
  $("learn-on").onclick = learnOn || again;
  $("again").hidden = begun || level === "good";
  $("again").onclick = again;
  $("with-photos").hidden = !mini;
  $("with-photos").onclick = onPhotos;
  // What to do next is the first button.
  const next = begun ? "learn-on" : level !== "poor" ? "make-with" : mini ? "with-photos" : "again";
  for (const id of ["learn-on", "make-with", "with-photos", "again"]) $(id).classList.toggle("primary", id === next);
  $("learned").hidden = false;
  for (const id of ["run-head", "run-buttons"]) $(id).hidden = true;
  turnTo("learned");
  $("learning-title").focus();
}
