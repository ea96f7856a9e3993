// What came of a run: the verdict on the word, and what to do with it.

import { $, button, save } from "../base/dom.js";
import { fileStem } from "../base/format.js";
import { formats } from "../base/settings.js";
import { call, say, turnTo, using } from "../base/studio.js";
import { t } from "../base/text.js";

/** The fall of the evaluation loss, relative to the start, from which on a word has taken, and has taken well. */
const [FAIR, GOOD] = [0.05, 0.2];

/** Says of a run what its evaluations tell. */
export function judged(curve) {
  if (curve.length < 2) return t("learn.verdict.unknown");
  const fall = 1 - curve.at(-1).loss / curve[0].loss;
  const level = fall >= GOOD ? "good" : fall >= FAIR ? "fair" : "poor";
  return level === "poor" ? t("learn.verdict.poor") : t(`learn.verdict.${level}`, Math.round(100 * fall));
}

/** The files that most people want; the shelf gives every other. */
const WANTED = ["diffusers", "a1111"];

/** Shows a word that was learned: `{token, stopped, verdict, prompt}`. */
export function showLearned({ token, stopped, verdict, prompt }) {
  say("learning-title", t(stopped ? "learn.stoppedOf" : "learn.learnedOf", token));
  say("verdict", verdict);
  $("downloads").replaceChildren(...formats().filter(({ value }) => WANTED.includes(value)).map(({ value, label, ending }) => button(`${t("learn.download")} (${label})`, () => using("run-problem", async () => {
    save(await call("engine.exportEmbedding", token, value), `${fileStem(token)}.${ending}`);
  }), { label: `${t("learn.download")} ${token} (${label})` })));
  $("make-with").onclick = async () => {
    const { makeNow } = await import("../make/make.js");
    turnTo("make");
    await makeNow({ prompt });
  };
  $("learned").hidden = false;
  for (const id of ["run-head", "run-buttons"]) $(id).hidden = true;
  turnTo("learned");
  $("learning-title").focus();
}
