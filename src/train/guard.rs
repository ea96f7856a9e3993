//! Training that diverges: losses and gradients that are NaN or infinite, and vectors that grow without bound.
//!
//! A step that is not finite is skipped and counted; too many of them, or a vector of absurd length, end the run with
//! the last good vector, or take it back there at half the learning rate, as the user has chosen.

use super::counts::Counts;
use super::evaluations::Evaluations;
use super::learner::Learner;
use super::optimiser::Optimiser;
use super::state::RunState;
use crate::Result;
use crate::config::{OnDivergence, TrainConfig};
use crate::setting::{Setting, named};

/// Steps in a row that may be skipped before a run gives up.
const IN_A_ROW: u32 = 5;
/// Of this many last steps...
const WINDOW: u32 = 200;
/// ...this many may be skipped: one in twenty.
const IN_THE_WINDOW: usize = 10;
/// Lengths relative to the median of the model's own words: worth a warning, too long to go back to, absurd. Words
/// learned at usual rates stay below the first or a little above it; samplers cannot do anything with the last.
pub(super) const LONG: f64 = 10.0;
const NOT_GOOD: f64 = 30.0;
const ABSURD: f64 = 100.0;
/// A vector to go back to is kept each time this many steps have passed: near enough to lose little, far enough to be
/// from before the trouble.
const GOOD_EVERY: u32 = 25;
/// The learning rate is halved at most this often.
const HALVINGS: u32 = 5;
/// What to say of numbers that are not finite before the learning rate has had any effect.
pub(super) const NOT_THE_RATE: &str = concat!(
    "nothing had been learned yet, so it is not the learning rate: look at the pictures, at the embeddings in use and at the \
     model, and try another ",
    named!(device)
);
/// Prefix of the names of the numbers that belong to the good moment in a saved state.
const GOOD: &str = "good ";

/// A moment to go back to.
#[derive(Clone)]
pub(super) struct GoodMoment {
    pub counts: Counts,
    pub optimiser: Optimiser,
    /// How many losses early stopping had seen.
    pub losses: usize,
}

/// What follows from a step that was not finite.
pub(super) enum SkipVerdict {
    /// The run continues; this is why the step was skipped.
    Tolerated(String),
    /// It was one too many.
    Diverged(String),
}

/// What follows from the length of the vectors.
pub(super) enum LengthVerdict {
    Usual,
    /// Long enough for a warning, which is given once.
    Long(String),
    Diverged(String),
}

/// What becomes of a run that has diverged.
pub(super) enum Remedy {
    /// It continues from this moment at half the learning rate.
    Rewind(GoodMoment),
    /// It ends, with the vector of this moment if the present one is not good; with what to try.
    End(Option<GoodMoment>, String),
}

/// Counts the steps, and watches that they lead somewhere.
pub(super) struct Guard {
    pub counts: Counts,
    on_divergence: OnDivergence,
    good: Option<GoodMoment>,
    warned: bool,
}

impl Guard {
    pub fn new(config: &TrainConfig) -> Self {
        Self { counts: Counts::default(), on_divergence: config.on_divergence, good: None, warned: false }
    }

    /// Keeps this moment, if it is time for that and the vector is one to go back to.
    pub fn keep_if_good(&mut self, learner: &Learner, evaluations: &Evaluations) {
        let due = self.good.is_none() || self.counts.step.is_multiple_of(GOOD_EVERY);
        // There is only the start to go back to, whatever its length.
        let good = learner.relative_length() <= NOT_GOOD || self.good.is_none();
        if due && good && self.counts.skipped_in_a_row == 0 {
            let (counts, optimiser) = (self.counts.clone(), learner.optimiser.clone());
            self.good = Some(GoodMoment { counts, optimiser, losses: evaluations.losses_seen() });
        }
    }

    /// Whether all steps so far were skipped.
    pub fn nothing_was_made(&self) -> bool {
        self.counts.step == self.counts.skipped
    }

    /// The factor of the learning rate.
    pub fn rate(&self) -> f64 {
        0.5_f64.powi(self.counts.halvings as i32)
    }

    /// Counts a step that was skipped because `what` of it is not finite.
    pub fn skip(&mut self, what: &str) -> SkipVerdict {
        let step = self.counts.step;
        self.counts.skipped += 1;
        self.counts.skipped_in_a_row += 1;
        self.counts.recently_skipped.push(step);
        self.counts.recently_skipped.retain(|skipped| skipped + WINDOW > step);
        let reason = format!("{what} is not a finite number");
        if self.counts.skipped_in_a_row >= IN_A_ROW {
            return SkipVerdict::Diverged(format!("{reason} in {IN_A_ROW} steps in a row"));
        }
        let recent = self.counts.recently_skipped.len();
        if recent >= IN_THE_WINDOW {
            return SkipVerdict::Diverged(format!("{reason} in {recent} of the last {WINDOW} steps"));
        }
        SkipVerdict::Tolerated(reason)
    }

    /// Counts a step that was made, after which the longest vector is `times` as long as the model's words usually are; `whose` says of
    /// which word it is.
    pub fn made(&mut self, times: f64, whose: impl Fn() -> String) -> LengthVerdict {
        self.counts.skipped_in_a_row = 0;
        if times > ABSURD {
            return LengthVerdict::Diverged(format!(
                "a vector{} has become {times:.0} times as long as the model's words usually are",
                whose()
            ));
        }
        if times > LONG && !self.warned {
            self.warned = true;
            return LengthVerdict::Long(format!(
                "a vector{} is {times:.0} times as long as the model's words usually are: the embedding may drown out the \
                 rest of a prompt; a lower learning rate keeps it shorter",
                whose()
            ));
        }
        LengthVerdict::Usual
    }

    /// Decides what becomes of a run that has diverged, whose longest vector is now `times` the usual length. For a
    /// rewind the guard itself goes back here; the rest of the job has to follow.
    pub fn remedy(&mut self, times: f64) -> Remedy {
        let halvings = self.counts.halvings;
        let rewinds = self.on_divergence == OnDivergence::Rewind;
        if rewinds && halvings < HALVINGS && self.good.is_some() {
            let good = self.good.as_mut().map(|good| {
                // Kept with the moment, so that the rate is halved again the next time.
                good.counts.halvings = halvings + 1;
                good.clone()
            });
            if let Some(good) = good {
                self.go_back(&good);
                return Remedy::Rewind(good);
            }
        }
        let advice = if rewinds {
            format!("the learning rate was halved {halvings} times already; try another {}", Setting::Lr)
        } else {
            format!("try a lower learning rate ({}), or {} rewind", Setting::Lr, Setting::OnDivergence)
        };
        // Skipped steps did not touch the vector: it is good as it is, unless it has grown.
        let good = self.good.clone().filter(|_| times > NOT_GOOD);
        if let Some(good) = &good {
            self.go_back(good);
        }
        Remedy::End(good, advice)
    }

    fn go_back(&mut self, good: &GoodMoment) {
        self.counts = good.counts.clone();
        self.warned = false;
    }

    /// Writes itself into a state.
    pub fn save(&self, state: &mut RunState) {
        state.put_all(&self.counts);
        let good = self.good.as_ref().map(|good| {
            good.optimiser.save(GOOD, state);
            (&good.counts, good.optimiser.steps(), good.losses)
        });
        state.put("good", &good);
    }

    /// Reads itself back; `optimiser` is one of the run's kind.
    pub fn restore(&mut self, state: &RunState, optimiser: &Optimiser) -> Result<()> {
        self.counts = state.all()?;
        let good: Option<(Counts, i32, usize)> = state.get_or_default("good")?;
        self.good = match good {
            Some((counts, steps, losses)) => {
                let mut optimiser = optimiser.clone();
                optimiser.restore(GOOD, steps, state)?;
                Some(GoodMoment { counts, optimiser, losses })
            }
            None => None,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_in_twenty_may_be_left_out() {
        assert_eq!(IN_THE_WINDOW as u32 * 20, WINDOW);
    }
}
