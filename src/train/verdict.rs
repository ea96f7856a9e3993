//! What to think of a word that was learned: by how far the loss on the fixed batch has fallen, and how long its vectors have become.
//!
//! The levels are a judgement: with the mini model it falls by a third to four fifths for words that show their thing
//! (`benches/README.md`), and models that have seen more have less to gain.

use serde::Serialize;

use super::TrainJob;
use super::guard::LONG;
use crate::event::EvaluatedOn;
use crate::setting::Setting;

/// Falls of the loss from which on a word counts as learned, and as learned somewhat.
const LEARNED: f64 = 0.15;
const SOMEWHAT: f64 = 0.03;

/// How well a word was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The loss has fallen clearly.
    Good,
    /// It has fallen, or the vectors are too long beside other words.
    Fair,
    /// It has hardly fallen.
    Poor,
}

/// What to think of a word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// How well it was learned.
    pub level: Level,
    /// What that is said by, in a sentence.
    pub text: String,
    /// By which share of what it was the loss has fallen; below 0 it has risen.
    pub gain: f64,
    /// How many times as long as the model's own words usually are the longest vector is.
    pub length: f64,
    /// What to try for a better one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl TrainJob {
    /// What to think of the embedding as it is now, by its last evaluation; none before a step was made and evaluated.
    pub fn verdict(&self) -> Option<Verdict> {
        let (on, gain) = self.evaluations.gain().filter(|_| self.step() > 0)?;
        Some(Verdict::of(on, gain, self.learner.relative_length()))
    }
}

impl Verdict {
    /// By the fall of the loss and the relative length of the longest vector.
    fn of(on: EvaluatedOn, gain: f64, length: f64) -> Self {
        let level = match gain {
            gain if gain >= LEARNED && length <= LONG => Level::Good,
            gain if gain >= SOMEWHAT => Level::Fair,
            _ => Level::Poor,
        };
        let pictures = match on {
            EvaluatedOn::Training => "the pictures",
            EvaluatedOn::Unseen => "the pictures that were held out",
        };
        let moved = match (100.0 * gain).round() {
            0.0 => "is what it was".to_owned(),
            percent if percent > 0.0 => format!("has fallen by {percent} %"),
            percent => format!("has risen by {} %", -percent),
        };
        let mut text = format!("the loss on {pictures} {moved}");
        let longer = (length > LONG).then(|| {
            text.push_str(&format!(", and a vector is {length:.0} times as long as the model's words usually are"));
            format!("it may drown out the rest of a prompt; a lower learning rate ({}) keeps it shorter", Setting::Lr)
        });
        let more = (gain < LEARNED).then(|| {
            let (steps, init) = (Setting::Steps, Setting::Init);
            format!(
                "look at the previews; try more {steps}, an {init} that is nearer to it, or pictures that differ more"
            )
        });
        Self { level, text, gain, length, advice: longer.or(more) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EvaluatedOn::{Training, Unseen};

    #[test]
    fn the_fall_of_the_loss_and_the_length_decide() {
        for (gain, length, level, part) in [
            (0.49, 2.0, Level::Good, "the loss on the pictures has fallen by 49 %"),
            (0.05, 2.0, Level::Fair, "fallen by 5 %"),
            (0.004, 1.0, Level::Poor, "is what it was"),
            (-0.21, 1.0, Level::Poor, "has risen by 21 %"),
            (0.6, 14.2, Level::Fair, "a vector is 14 times as long"),
            (-0.6, 14.2, Level::Poor, "a vector is 14 times as long"),
        ] {
            let verdict = Verdict::of(Training, gain, length);
            assert_eq!(verdict.level, level, "{verdict:?}");
            assert!(verdict.text.contains(part), "{verdict:?}");
            assert_eq!(verdict.advice.is_none(), level == Level::Good, "{verdict:?}");
        }
        let long = Verdict::of(Unseen, 0.3, 20.0);
        assert!(long.text.contains("held out") && long.advice.unwrap().contains("learning rate"));
    }
}
