//! One step of a run, and what becomes of a run whose steps lead nowhere.

use web_time::Instant;

use super::TrainJob;
use super::guard::{GoodMoment, LengthVerdict, NOT_THE_RATE, Remedy, SkipVerdict};
use super::optimiser::learning_rate;
use super::sample::Sample;
use crate::base::math::norm;
use crate::event::{Event, WarningCode};
use crate::{Error, Result};

/// What of a step is not finite if the step itself was too long.
const AFTER_THE_STEP: &str = "the vector after the step";

/// A step whose gradient is not known yet.
pub(super) struct BegunStep {
    pub samples: Vec<Sample>,
    /// Which of the new tokens their captions hold.
    held: Vec<bool>,
    started: Instant,
}

impl TrainJob {
    pub(super) async fn make_step(&mut self) -> Result<()> {
        let begun = self.begin_step()?;
        let gradient = self.learner.gradient(&begun.samples).await?;
        self.end_step(begun, gradient)
    }

    pub(super) fn begin_step(&mut self) -> Result<BegunStep> {
        let started = Instant::now();
        self.guard.keep_if_good(&self.learner, &self.evaluations);
        let samples = self.learner.samples(self.step())?;
        Ok(BegunStep { held: self.learner.held(&samples), samples, started })
    }

    /// Moves the rows, given the mean loss of the samples and the gradient to the rows.
    pub(super) fn end_step(&mut self, begun: BegunStep, (loss, gradient): (f64, Vec<f32>)) -> Result<()> {
        let BegunStep { samples, held, started } = begun;
        let made = self.step();
        if let Some(record) = &mut self.record {
            record.push(samples);
        }
        let step = made + 1;
        self.guard.counts.step = step;
        let grad_norm = norm(&gradient);
        if !loss.is_finite() || !grad_norm.is_finite() {
            return self.skip(if loss.is_finite() { "the gradient" } else { "the loss" });
        }
        let never = !self.gradient_checked.contains(&true);
        let first: Vec<bool> =
            held.iter().zip(&self.gradient_checked).map(|(held, checked)| *held && !checked).collect();
        let own = self.learner.words.apart(&gradient, self.learner.known.width);
        let ignored =
            self.learner.words.iter().zip(own).zip(&first).find(|((_, own), first)| **first && norm(own) == 0.0);
        if let Some(((word, _), _)) = ignored {
            let reason = format!("the gradient is zero: {} is in the captions, but the model ignores it", word.token);
            return Err(Error::Numeric { step, reason });
        }
        let lr = learning_rate(&self.config, self.peak_rate(), made) * self.guard.rate();
        if !self.learner.optimiser.step(&gradient, lr) {
            return self.skip(AFTER_THE_STEP);
        }
        let long = match self.guard.made(self.learner.relative_length(), || self.learner.whose()) {
            LengthVerdict::Usual => None,
            LengthVerdict::Long(text) => Some(Event::warning(WarningCode::LongVectors, text)),
            LengthVerdict::Diverged(reason) => return self.diverged(reason),
        };
        self.judging.notice(step, self.learner.optimiser.rows());
        self.gradient_checked.iter_mut().zip(&first).for_each(|(checked, first)| *checked |= first);
        if never && first.contains(&true) {
            self.pending.push_back(Event::FirstGradient { norm: grad_norm });
        }
        let row_norm = self.learner.optimiser.mean_norm();
        let secs = started.elapsed().as_secs_f64();
        self.pending.push_back(Event::Step { step, of: self.config.steps(), loss, lr, grad_norm, row_norm, secs });
        self.pending.extend(long);
        self.enter_next_phase();
        Ok(())
    }

    /// Leaves a step out, `what` of which is not finite.
    fn skip(&mut self, what: &str) -> Result<()> {
        let verdict = self.guard.skip(what);
        let counts = &self.guard.counts;
        let never = self.guard.nothing_was_made();
        let reason = match verdict {
            SkipVerdict::Tolerated(reason) if never && counts.step == self.config.steps() => {
                format!("{reason} in any step")
            }
            SkipVerdict::Tolerated(reason) => {
                self.pending.push_back(Event::Skipped { step: counts.step, reason, skipped: counts.skipped });
                self.enter_next_phase();
                return Ok(());
            }
            SkipVerdict::Diverged(reason) => reason,
        };
        if never && what != AFTER_THE_STEP {
            return Err(Error::Numeric { step: counts.step, reason: format!("{reason}; {NOT_THE_RATE}") });
        }
        self.diverged(reason)
    }

    /// Goes back and reports it, or gives up with the last good vector.
    fn diverged(&mut self, reason: String) -> Result<()> {
        let step = self.step();
        match self.guard.remedy(self.learner.relative_length()) {
            Remedy::Rewind(good) => {
                self.go_back(good);
                let lr = self.peak_rate() * self.guard.rate();
                self.pending.push_back(Event::Rewound { step, to: self.step(), lr, reason });
                self.enter_next_phase();
                Ok(())
            }
            Remedy::End(good, advice) => {
                if let Some(good) = good {
                    self.go_back(good);
                }
                Err(Error::Numeric { step, reason: format!("{reason}; {advice}") })
            }
        }
    }

    /// Follows the guard to a good moment.
    fn go_back(&mut self, good: GoodMoment) {
        self.learner.optimiser = good.optimiser;
        self.evaluations.forget_after(good.losses, good.counts.step);
        self.judging.forget_after(good.counts.step);
        if let Some(record) = &mut self.record {
            record.truncate(good.counts.step as usize);
        }
        self.pending.clear();
    }
}
