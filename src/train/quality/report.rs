//! What is said of a word that was tried.
//!
//! The limits are a judgement by 41 words of the mini model of which it is known in how many pictures they are recognised
//! (`benches/README.md`, "How good is a word?"). They say nothing sure about other models, and the sentence says so.

use serde::{Deserialize, Serialize};

use super::CLEARLY;
use super::measure::{ENOUGH, Tried, clearness, mean_and_error};
use crate::config::{Keep, Kind};
use crate::embedding::ModelFamily;
use crate::setting::Setting;
use crate::train::Level;

/// Scores from which on a word shows its thing, and shows it in part.
const SHOWS: f64 = 0.4;
const IN_PART: f64 = 0.3;
/// The share of scenes that must be recognised for the rest of a prompt to decide.
const DECIDES: f64 = 0.75;
/// The share of pictures that are copies from which on a word is overfitted.
const COPIED: f64 = 0.5;
/// By which share the loss on held out pictures must have risen above its least for the word to be overfitted.
const RISEN: f64 = 0.03;

/// What a word that was learned is worth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quality {
    /// How good it is; none if it could not be found out.
    pub level: Option<Level>,
    /// What that is said by, in a sentence.
    pub text: String,
    /// What pictures show of the training pictures, whatever the rest of the prompt does; none in reports of versions that did not say so.
    pub shows: Option<Level>,
    /// What to try for a better one.
    pub advice: Option<String>,
    /// Which advice that is, for front ends that have their own words; none in reports of versions that did not say so.
    pub advice_code: Option<AdviceCode>,
    /// Whether it has learned its pictures instead of what they show.
    pub overfitted: bool,
    /// Scenes that it was tried in.
    pub scenes: u32,
    /// The step of the last state, of the best (the last, unless another is clearly better), and of the one that is the result.
    pub last: u32,
    /// See `last`.
    pub best: u32,
    /// See `last`.
    pub kept: u32,
    /// The states that were tried, the last first.
    pub states: Vec<TriedState>,
}

/// What may be advised: for each a front end can have its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdviceCode {
    /// To keep an earlier state, which was better.
    Keep,
    /// Fewer steps: pictures that were held out say so.
    Overfitted,
    /// Fewer steps or more pictures: it repeats its pictures.
    Copies,
    /// More steps: it has hardly moved.
    Near,
    /// To say what is around the thing, or to cut it away.
    Around,
    /// To say what the pictures of a style show.
    Content,
    /// Captions.
    Captions,
    /// Pictures that differ more, or words to start from that are nearer.
    Nearer,
}

/// A state that was tried. Figures have three decimals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriedState {
    /// After how many steps.
    pub step: u32,
    /// How far pictures show what the training pictures show, as far as the prompt decides the rest: from 0 (no more than the words that
    /// it started from) to 1.
    pub score: f64,
    /// The standard error of that.
    pub error: f64,
    /// Without regard to the rest of the prompt, from -1 to 1.
    pub shows: f64,
    /// How much of the way from what pictures without the word show to what the training pictures show that is.
    pub moved: f64,
    /// In how many scenes the rest of the prompt decides.
    pub keeps: u32,
    /// How many pictures are nearly a training picture.
    pub copies: u32,
}

/// The loss on held out pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The step after which it was least.
    pub best: u32,
    /// What it was then.
    pub least: f64,
    /// What it was at last.
    pub last: f64,
}

/// What is known of a word.
pub struct Evidence {
    pub last: u32,
    /// What came of each state, with its step: the last first.
    pub states: Vec<(u32, Tried)>,
    pub held: Option<Held>,
    pub family: ModelFamily,
    pub kind: Kind,
    /// Whether two words were tried together.
    pub several: bool,
    pub keep: Keep,
    /// Whether every picture has a caption.
    pub captioned: bool,
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl TriedState {
    fn of(step: u32, tried: &Tried) -> Self {
        let [score, error] = mean_and_error(&tried.scores()).map(rounded);
        let [shows, _] = mean_and_error(&tried.towards).map(rounded);
        let moved = rounded(tried.moved);
        Self { step, score, error, shows, moved, keeps: tried.recognised as u32, copies: tried.copies as u32 }
    }
}

impl Quality {
    pub(super) fn of(of: &Evidence) -> Self {
        let known = of.states.iter().all(|(_, tried)| tried.is_finite());
        let scenes = of.states.first().map_or(0, |(_, tried)| tried.kept.len()) as u32;
        let mut quality = Self {
            level: None,
            shows: None,
            text: "numbers grew beyond all bounds while it was tried: nothing can be said".to_owned(),
            advice: None,
            advice_code: None,
            overfitted: false,
            scenes,
            last: of.last,
            best: of.last,
            kept: of.last,
            states: Vec::new(),
        };
        if !known || scenes == 0 {
            return quality;
        }
        quality.states = of.states.iter().map(|(step, tried)| TriedState::of(*step, tried)).collect();
        quality.best = best(&of.states);
        quality.kept = if of.keep == Keep::Best { quality.best } else { of.last };
        quality.judge(of);
        quality
    }

    /// The state that is the result, as it was tried.
    pub fn result(&self) -> Option<&TriedState> {
        self.states.iter().find(|state| state.step == self.kept)
    }

    /// In a few words, for the file of the word.
    pub fn in_short(&self) -> Option<String> {
        let (level, state) = (self.level?, self.result()?);
        let level = match level {
            Level::Good => "good",
            Level::Begun => "begun",
            Level::Fair => "fair",
            Level::Poor => "poor",
        };
        let overfitted = if self.overfitted { ", overfitted" } else { "" };
        let (keeps, scenes) = (state.keeps, self.scenes);
        Some(format!("{level} ({:.2}; the prompt decides in {keeps} of {scenes} scenes{overfitted})", state.score))
    }

    fn judge(&mut self, of: &Evidence) {
        let Some(state) = self.result().cloned() else { return };
        let risen = of.held.filter(|held| held.last > held.least * (1.0 + RISEN) && self.kept > held.best);
        let scenes = f64::from(self.scenes);
        let copied = f64::from(state.copies) >= COPIED * scenes;
        let decides = f64::from(state.keeps) >= DECIDES * scenes;
        self.overfitted = risen.is_some() || copied;
        let shows = match state.score {
            score if score >= SHOWS => Level::Good,
            score if score >= IN_PART => Level::Fair,
            _ => Level::Poor,
        };
        let level = if shows == Level::Good && (!decides || self.overfitted) { Level::Fair } else { shows };
        (self.shows, self.level) = (Some(shows), Some(level));
        let (verb, what) = match of.kind {
            Kind::Object => ("show", "what yours show"),
            Kind::Style => ("have", "the style of yours"),
        };
        let words = if of.several { "both words" } else { "the word" };
        let shown = match shows {
            Level::Good => format!("{verb} {what}"),
            Level::Fair => format!("{verb} {what} only in part"),
            _ => format!("hardly {verb} {what}"),
        };
        let mut text = format!("pictures with {words} {shown} ({:.2})", state.score);
        let rules = if decides { "decides" } else { "no longer decides everywhere:" };
        text.push_str(&format!("; the rest of a prompt {rules} in {} of {} scenes", state.keeps, self.scenes));
        if let Some(held) = risen {
            text.push_str(&format!("; the loss on the pictures that were held out was least after step {}", held.best));
        }
        if copied {
            text.push_str(&format!("; {} pictures are nearly one of yours", state.copies));
        }
        if self.best != self.last {
            let kept = if self.kept == self.best { "and is kept" } else { "but the last is kept" };
            text.push_str(&format!("; the state after step {} was clearly better than the last, {kept}", self.best));
        }
        if of.family != ModelFamily::Mini {
            text.push_str("; from which figure on a word is good was measured with the mini model only");
        }
        self.text = text;
        (self.advice_code, self.advice) = self.advice(of, level, risen, [copied, decides]).unzip();
    }

    /// One thing to try, the most pressing.
    fn advice(
        &self,
        of: &Evidence,
        level: Level,
        risen: Option<Held>,
        [copied, decides]: [bool; 2],
    ) -> Option<(AdviceCode, String)> {
        let (steps, lr, init, masks) = (Setting::Steps, Setting::Lr, Setting::Init, Setting::Masks);
        let hardly_moved = self.result().is_some_and(|state| state.moved < ENOUGH);
        let around = "what is around the thing was learned with it:";
        Some(if self.best != self.kept {
            (AdviceCode::Keep, format!("keep the better state: {} best", Setting::Keep))
        } else if let Some(Held { best, .. }) = risen {
            let text = format!("it learned its pictures instead of what they show: make about {best} {steps}");
            (AdviceCode::Overfitted, text)
        } else if copied {
            let text = format!("it repeats its pictures: fewer {steps} or a lower {lr}, or more pictures");
            (AdviceCode::Copies, text)
        } else if hardly_moved {
            let text = format!("it is still near the words that it started from: more {steps} or a higher {lr}");
            (AdviceCode::Near, text)
        } else {
            match (level, decides, of.kind, of.captioned) {
                (Level::Good, ..) => return None,
                (_, false, Kind::Object, false) => {
                    (AdviceCode::Around, format!("{around} say it in captions, or cut it away with masks ({masks})"))
                }
                (_, false, Kind::Object, true) => {
                    let text = format!("{around} cut it away with masks ({masks}), or say more in the captions");
                    (AdviceCode::Around, text)
                }
                (_, false, Kind::Style, _) => {
                    let text = "what the pictures show was learned with the style: say it in captions";
                    (AdviceCode::Content, text.to_owned())
                }
                (.., false) => {
                    let text = "captions that say what the word need not stand for help most";
                    (AdviceCode::Captions, text.to_owned())
                }
                (.., true) => {
                    (AdviceCode::Nearer, format!("try pictures that differ more, or an {init} that is nearer to it"))
                }
            }
        })
    }
}

/// The step of the best state: the last, unless another is clearly better.
fn best(states: &[(u32, Tried)]) -> u32 {
    let Some(((last, of_last), others)) = states.split_first() else { return 0 };
    let of_last = of_last.scores();
    let better = others.iter().filter(|(_, tried)| clearness(&tried.scores(), &of_last) > CLEARLY);
    let mean = |tried: &Tried| mean_and_error(&tried.scores())[0];
    better.max_by(|(_, a), (_, b)| mean(a).total_cmp(&mean(b))).map_or(*last, |(step, _)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state that scores about so much, alike in all scenes.
    fn tried(score: f64, recognised: usize) -> Tried {
        let towards = (0..8).map(|i| score + 0.01 * f64::from(i % 2)).collect();
        Tried { towards, moved: 0.7, kept: vec![1.0; 8], recognised, copies: 0 }
    }

    fn evidence(states: Vec<(u32, Tried)>) -> Evidence {
        let (held, family, kind, keep) = (None, ModelFamily::Mini, Kind::Object, Keep::Best);
        Evidence { last: states[0].0, states, held, family, kind, several: false, keep, captioned: true }
    }

    #[test]
    fn a_good_word_needs_no_advice_and_every_other_has_one() {
        for (score, recognised, level, said, advised) in [
            (0.7, 8, Level::Good, "show what yours show (0.70)", None),
            (0.7, 5, Level::Fair, "no longer decides everywhere: in 5 of 8", Some("around the thing")),
            (0.35, 8, Level::Fair, "only in part", Some("differ more")),
            (0.1, 8, Level::Poor, "hardly show what", Some("nearer to it")),
            (0.1, 3, Level::Poor, "3 of 8", Some("masks")),
        ] {
            let quality = Quality::of(&evidence(vec![(300, tried(score, recognised))]));
            assert_eq!(quality.level, Some(level), "{quality:?}");
            assert!(quality.text.contains(said), "{quality:?}");
            let advice = quality.advice.as_deref().unwrap_or_default();
            assert_eq!(quality.advice.is_some(), advised.is_some(), "{quality:?}");
            assert!(advised.is_none_or(|part| advice.contains(part)), "{quality:?}");
            assert_eq!(quality.advice_code.is_some(), advised.is_some(), "{quality:?}");
        }
    }

    #[test]
    fn what_pictures_show_is_said_apart_from_the_rest_and_every_advice_has_its_code() {
        let of = |score, recognised| Quality::of(&evidence(vec![(300, tried(score, recognised))]));
        let unruly = of(0.7, 5);
        assert_eq!((unruly.level, unruly.shows), (Some(Level::Fair), Some(Level::Good)), "{unruly:?}");
        assert_eq!((of(0.35, 8).shows, of(0.1, 8).shows), (Some(Level::Fair), Some(Level::Poor)));
        let style = Evidence { kind: Kind::Style, ..evidence(vec![(300, tried(0.7, 5))]) };
        let bare = Evidence { captioned: false, ..evidence(vec![(300, tried(0.35, 8))]) };
        let copied = Evidence {
            states: vec![(300, Tried { copies: 4, ..tried(0.8, 8) })],
            ..evidence(vec![(300, tried(0.8, 8))])
        };
        let codes = [Quality::of(&style), Quality::of(&bare), Quality::of(&copied), unruly, of(0.35, 8), of(0.7, 8)];
        let expected = ["content", "captions", "copies", "around", "nearer"].map(Some).into_iter().chain([None]);
        for (quality, code) in codes.iter().zip(expected) {
            let found = serde_json::to_value(quality.advice_code).unwrap();
            assert_eq!(found.as_str(), code, "{quality:?}");
        }
    }

    #[test]
    fn of_two_words_is_said_that_they_were_tried_together() {
        let quality = Quality::of(&Evidence { several: true, ..evidence(vec![(300, tried(0.7, 8))]) });
        assert!(quality.text.starts_with("pictures with both words show what yours show"), "{quality:?}");
    }

    #[test]
    fn captions_are_advised_where_there_are_none() {
        for (captioned, advised) in [(false, true), (true, false)] {
            let quality = Quality::of(&Evidence { captioned, ..evidence(vec![(300, tried(0.35, 8))]) });
            assert_eq!(quality.advice.unwrap().contains("captions"), advised);
        }
    }

    #[test]
    fn a_word_that_has_hardly_moved_is_to_learn_on() {
        let still = Tried { moved: 0.1, ..tried(0.9, 8) };
        let quality = Quality::of(&evidence(vec![(300, still)]));
        assert_eq!(quality.level, Some(Level::Fair), "{quality:?}");
        assert!(quality.advice.is_some_and(|advice| advice.contains("higher")));
    }

    #[test]
    fn an_earlier_state_is_the_result_only_where_it_is_clearly_better_and_that_is_wanted() {
        let unsure = Tried { towards: vec![0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.2], ..tried(0.0, 8) };
        let states = |earlier: Tried| vec![(300, tried(0.4, 8)), (150, tried(0.2, 8)), (225, earlier)];
        for (earlier, keep, best, kept) in [
            (tried(0.6, 8), Keep::Best, 225, 225),
            (tried(0.6, 8), Keep::Last, 225, 300),
            (unsure, Keep::Best, 300, 300),
            (tried(0.4, 8), Keep::Best, 300, 300),
        ] {
            let quality = Quality::of(&Evidence { keep, ..evidence(states(earlier)) });
            assert_eq!((quality.last, quality.best, quality.kept), (300, best, kept), "{quality:?}");
            assert_eq!(quality.text.contains("after step 225"), best == 225, "{quality:?}");
            let asks = quality.advice.is_some_and(|advice| advice.contains("keep the better state"));
            assert_eq!(asks, best != kept);
        }
    }

    #[test]
    fn a_word_that_learned_its_pictures_is_called_overfitted() {
        let copied = Tried { copies: 4, ..tried(0.8, 8) };
        let quality = Quality::of(&evidence(vec![(300, copied)]));
        assert!(quality.overfitted && quality.level == Some(Level::Fair), "{quality:?}");
        for (last, overfitted) in [(1.01, false), (1.05, true)] {
            let held = Some(Held { best: 120, least: 1.0, last });
            let quality = Quality::of(&Evidence { held, ..evidence(vec![(300, tried(0.8, 8))]) });
            assert_eq!(quality.overfitted, overfitted, "{quality:?}");
            assert_eq!(quality.advice.is_some_and(|advice| advice.contains("about 120")), overfitted);
        }
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let broken = Tried { towards: vec![f64::NAN; 8], ..tried(0.5, 8) };
        let quality = Quality::of(&evidence(vec![(300, broken)]));
        assert!(quality.level.is_none() && quality.in_short().is_none() && quality.kept == 300, "{quality:?}");
        let other = Evidence { family: ModelFamily::Sd1, ..evidence(vec![(300, tried(0.7, 8))]) };
        assert!(Quality::of(&other).text.contains("with the mini model only"));
    }

    #[test]
    fn what_is_written_down_is_read_back_exactly() {
        let quality = Quality::of(&evidence(vec![(300, tried(0.123_456, 7)), (150, tried(1.0 / 3.0, 8))]));
        let text = serde_json::to_string(&quality).unwrap();
        assert_eq!(serde_json::from_str::<Quality>(&text).unwrap(), quality);
    }
}
