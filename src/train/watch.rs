//! Training that runs away: losses and gradients that are no numbers, and vectors that grow without bound.
//!
//! A step that is not finite is left out and counted; too many of them, or a vector of absurd length, end the run with the
//! last good vector, or take it back there at half the learning rate, as the user has chosen.

use super::optimiser::Optimiser;
use super::state::Counts;
use super::{TrainJob, learning_rate};
use crate::config::OnDivergence;
use crate::event::Event;
use crate::{Error, Result};

/// Steps in a row that may be left out before a run gives up.
const IN_A_ROW: u32 = 5;
/// Of so many last steps...
const WINDOW: u32 = 200;
/// ...so many may be left out: one in twenty.
const IN_THE_WINDOW: usize = 10;
/// Lengths relative to the median of the model's own words: worth a warning, too long to go back to, absurd. Words learned
/// at usual rates stay below the first or a little above it; samplers make nothing of the last.
const LONG: f64 = 10.0;
const NOT_GOOD: f64 = 30.0;
const ABSURD: f64 = 100.0;
/// A vector to go back to is kept every so many steps: near enough to lose little, far enough to be from before the trouble.
const GOOD_EVERY: u32 = 25;
/// The rate is halved so often at most.
const HALVINGS: u32 = 5;

/// A moment to go back to.
#[derive(Clone)]
pub(super) struct Good {
    pub counts: Counts,
    pub optimiser: Optimiser,
    /// Losses that early stopping had seen.
    pub losses: usize,
}

/// What is watched.
#[derive(Default)]
pub(super) struct Watch {
    /// How long the vector of a word usually is in this model.
    pub typical: f64,
    pub good: Option<Good>,
    warned: bool,
}

impl TrainJob {
    /// Keeps this moment, if it is time for that and the vector is one to go back to.
    pub(super) fn keep_if_good(&mut self) {
        let due = self.watch.good.is_none() || self.counts.step.is_multiple_of(GOOD_EVERY);
        // The start is all there is to go back to, whatever its length.
        let good = self.optimiser.largest_norm() <= NOT_GOOD * self.watch.typical || self.watch.good.is_none();
        if due && good && self.counts.skipped_in_a_row == 0 {
            let losses = self.early_stop.as_ref().map_or(0, |early_stop| early_stop.history().len());
            self.watch.good = Some(Good { counts: self.counts.clone(), optimiser: self.optimiser.clone(), losses });
        }
    }

    /// The factor of the learning rate.
    pub(super) fn rate(&self) -> f64 {
        0.5_f64.powi(self.counts.halvings as i32)
    }

    /// Counts a step that was left out because `what` of it is not finite.
    pub(super) fn skip(&mut self, what: &str) -> Result<Event> {
        let step = self.counts.step;
        self.counts.skipped += 1;
        self.counts.skipped_in_a_row += 1;
        self.counts.recently_skipped.push(step);
        self.counts.recently_skipped.retain(|skipped| skipped + WINDOW > step);
        let reason = format!("{what} is not a finite number");
        if self.counts.skipped_in_a_row >= IN_A_ROW {
            return self.diverged(format!("{reason} in {IN_A_ROW} steps in a row"));
        }
        let recent = self.counts.recently_skipped.len();
        if recent >= IN_THE_WINDOW {
            return self.diverged(format!("{reason}, and so it was in {recent} of the last {WINDOW} steps"));
        }
        self.finish_if_done();
        Ok(Event::Skipped { step, reason, skipped: self.counts.skipped })
    }

    /// Looks at the length of the vectors after a step; an event if the run goes back.
    pub(super) fn check_length(&mut self) -> Result<Option<Event>> {
        let times = self.optimiser.largest_norm() / self.watch.typical;
        if times > ABSURD {
            let reason = format!("a vector has become {times:.0} times as long as the model's words usually are");
            return self.diverged(reason).map(Some);
        }
        if times > LONG && !self.watch.warned {
            self.watch.warned = true;
            let text = format!(
                "a vector is {times:.0} times as long as the model's words usually are: the word may drown out the rest \
                 of a prompt; a lower learning rate keeps it shorter"
            );
            self.pending.push_back(Event::warning("long-vectors", text));
        }
        Ok(None)
    }

    /// Goes back and says so, or gives up with the last good vector in the job.
    fn diverged(&mut self, reason: String) -> Result<Event> {
        let step = self.counts.step;
        let halvings = self.counts.halvings;
        let finite_but_absurd = self.optimiser.largest_norm() > NOT_GOOD * self.watch.typical;
        if self.config.on_divergence == OnDivergence::Rewind && halvings < HALVINGS {
            let Some(good) = self.go_back() else { return Err(Error::Numeric { step, reason }) };
            // Kept with the rate, so that the next time it is halved again.
            self.counts.halvings = halvings + 1;
            self.watch.good = Some(Good { counts: self.counts.clone(), ..good });
            self.phase = self.after_step();
            let lr = learning_rate::peak(&self.config) * self.rate();
            return Ok(Event::Rewound { step, to: self.counts.step, lr, reason });
        }
        // Steps that were left out did not touch the vector: it is good as it is.
        if finite_but_absurd {
            self.go_back();
        }
        let advice = match self.config.on_divergence {
            OnDivergence::Stop => "try a lower learning rate (--lr), or --on-divergence rewind".to_owned(),
            OnDivergence::Rewind => format!("the rate was halved {halvings} times already; try another --lr"),
        };
        Err(Error::Numeric { step, reason: format!("{reason}; {advice}") })
    }

    fn go_back(&mut self) -> Option<Good> {
        let good = self.watch.good.clone()?;
        self.counts = good.counts.clone();
        self.optimiser = good.optimiser.clone();
        if let Some(early_stop) = &mut self.early_stop {
            let mut history = early_stop.history().to_vec();
            history.truncate(good.losses);
            early_stop.restore(history);
        }
        if let Some(record) = &mut self.record {
            record.truncate(good.counts.step as usize);
        }
        self.watch.warned = false;
        self.pending.clear();
        Some(good)
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
