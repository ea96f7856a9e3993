//! What to think of a word that was learned: by how far the loss on the fixed batch has fallen in how many steps, and how long its vectors
//! have become.
//!
//! The levels are a judgement, by what the mini model's examples gain on the pictures that they are learned from (`benches/README.md`, "What a
//! word gains"): in 300 steps with two vectors things that come out gain a half and more, styles that hardly come out
//! (`tools/mini/README.md`) less than that; and three quarters of it are there after 25 steps, when the pictures have only begun to
//! change. Models that have seen more have less to gain.

use serde::{Deserialize, Serialize};

use super::TrainJob;
use super::guard::LONG;
use crate::event::EvaluatedOn;
use crate::setting::Setting;

/// Falls of the loss from which on a word counts as learned, and as learned somewhat.
const LEARNED: f64 = 0.45;
const SOMEWHAT: f64 = 0.03;
/// Steps below which a word has only begun, however far the loss has fallen.
pub(super) const BEGUN: u32 = 50;

/// How well a word was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The loss has fallen clearly.
    Good,
    /// So few steps were made that more will bring more, whatever the loss is by now.
    Begun,
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
    /// How many steps to try next: more, and at least so many as a word usually takes with the model; or fewer if a vector is too long.
    pub next: u32,
    /// What to try for a better one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl TrainJob {
    /// What to think of the embedding as it is now, by its last evaluation; none before a step was made and evaluated.
    pub fn verdict(&self) -> Option<Verdict> {
        let (on, gain) = self.evaluations.gain().filter(|_| self.step() > 0)?;
        let usual = self.learner.model.config.usual_family().training().steps;
        Some(Verdict::of(on, gain, self.learner.relative_length(), [self.step(), usual]))
    }
}

impl Verdict {
    /// By the fall of the loss, the relative length of the longest vector, the steps that were made, and those that are usual.
    fn of(on: EvaluatedOn, gain: f64, length: f64, [steps, usual]: [u32; 2]) -> Self {
        let level = match gain {
            _ if steps < BEGUN && length <= LONG => Level::Begun,
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
        let next = if length > LONG { steps.div_ceil(2) } else { usual.max(steps.saturating_mul(2)) };
        let (more, init) = (Setting::Steps, Setting::Init);
        let advice = match level {
            Level::Good => None,
            Level::Begun => Some(format!("{steps} are few: let it learn on ({more}; {usual} are usual)")),
            _ => Some(format!(
                "look at the previews; try more {more}, an {init} that is nearer to it, or pictures that differ more"
            )),
        };
        Self { level, text, gain, length, next, advice: longer.or(advice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EvaluatedOn::{Training, Unseen};

    #[test]
    fn the_fall_of_the_loss_the_length_and_the_steps_decide() {
        for (gain, length, steps, level, part) in [
            (0.49, 2.0, 300, Level::Good, "the loss on the pictures has fallen by 49 %"),
            (0.49, 2.0, 50, Level::Good, "fallen by 49 %"),
            // Whoever looks after three steps has seen nothing yet, nor after many that brought little.
            (0.16, 1.2, 3, Level::Begun, "fallen by 16 %"),
            (0.47, 1.5, 49, Level::Begun, "fallen by 47 %"),
            (0.0, 1.0, 1, Level::Begun, "is what it was"),
            (0.44, 2.0, 300, Level::Fair, "fallen by 44 %"),
            (0.05, 2.0, 300, Level::Fair, "fallen by 5 %"),
            (0.004, 1.0, 300, Level::Poor, "is what it was"),
            (-0.21, 1.0, 300, Level::Poor, "has risen by 21 %"),
            (0.6, 14.2, 300, Level::Fair, "a vector is 14 times as long"),
            (0.6, 14.2, 20, Level::Fair, "a vector is 14 times as long"),
            (-0.6, 14.2, 300, Level::Poor, "a vector is 14 times as long"),
        ] {
            let verdict = Verdict::of(Training, gain, length, [steps, 300]);
            assert_eq!(verdict.level, level, "{verdict:?}");
            assert!(verdict.text.contains(part), "{verdict:?}");
            assert_eq!(verdict.advice.is_none(), level == Level::Good, "{verdict:?}");
        }
        let long = Verdict::of(Unseen, 0.3, 20.0, [300, 300]);
        assert!(long.text.contains("held out") && long.advice.unwrap().contains("learning rate"));
        let nexts = [(1.0, 3), (1.0, 400), (14.2, 7)]
            .map(|(length, steps)| Verdict::of(Training, 0.2, length, [steps, 500]).next);
        assert_eq!(nexts, [500, 800, 4]);
        assert!(Verdict::of(Training, 0.2, 1.0, [3, 500]).advice.unwrap().ends_with("; 500 are usual)"));
    }
}
