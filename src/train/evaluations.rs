//! What a run is measured by: the loss on fixed batches, and whether it has settled. (Which samples a batch has is
//! decided in `draws`.)

use super::counts::Counts;
use super::dataset::Dataset;
use super::draws::RandomChoices;
use super::early_stop::EarlyStop;
use super::learner::Learner;
use super::sample::Sample;
use super::state::{Numbers, RunState};
use crate::Result;
use crate::config::TrainConfig;
use crate::event::{EvaluatedOn, Event};

/// A fixed batch, and its loss before the first step.
struct FixedBatch {
    on: EvaluatedOn,
    samples: Vec<Sample>,
    initial: Option<f64>,
    /// Its loss when it was last evaluated after a step.
    last: Option<f64>,
    /// The least of all evaluations, and after which step that was.
    least: Option<(u32, f64)>,
}

/// The fixed batches of a run, and early stopping.
pub(super) struct Evaluations {
    every: u32,
    batches: Vec<FixedBatch>,
    early_stop: Option<EarlyStop>,
    /// Of a run that resumes: the losses before its first step, until the batches are there.
    initial: Vec<f64>,
    /// And the least of them, each after the number of its step.
    least: Vec<f64>,
}

impl Evaluations {
    pub fn new(config: &TrainConfig) -> Self {
        let early_stop = config.early_stop.then(|| EarlyStop::new(config));
        Self { every: config.eval_every, batches: Vec::new(), early_stop, initial: Vec::new(), least: Vec::new() }
    }

    /// Draws the fixed batch of a set of encoded pictures; a set without pictures has none.
    pub fn add(&mut self, on: EvaluatedOn, choices: &RandomChoices, dataset: &Dataset) {
        let samples = choices.evaluation(dataset);
        if !samples.is_empty() {
            let initial = self.initial.get(self.batches.len()).copied();
            let least = self.least.chunks_exact(2).nth(self.batches.len()).map(|least| (least[0] as u32, least[1]));
            self.batches.push(FixedBatch { on, samples, initial, last: None, least });
        }
    }

    /// Whether an evaluation is due now.
    pub fn are_due(&self, counts: &Counts, last: bool) -> bool {
        let due = is_due(self.every, counts.step, last) || self.early_stop.is_some();
        due && counts.evaluated != Some(counts.step) && !self.batches.is_empty()
    }

    /// Evaluates every batch after this many steps; gives what happened, and whether the loss has settled.
    pub async fn evaluate(&mut self, learner: &Learner, step: u32) -> Result<(Vec<Event>, bool)> {
        let mut losses = Vec::new();
        for batch in &self.batches {
            losses.push(learner.evaluate(&batch.samples).await?);
        }
        // Nothing is remembered before all are known: a failure in between leaves everything as it was.
        let (mut events, mut settled) = (Vec::new(), false);
        for (batch, loss) in self.batches.iter_mut().zip(losses) {
            let initial = *batch.initial.get_or_insert(loss);
            batch.last = Some(loss).filter(|_| step > 0);
            if batch.least.is_none_or(|(_, least)| loss < least) {
                batch.least = Some((step, loss));
            }
            events.push(Event::Evaluation { on: batch.on, step, loss, initial });
            if batch.on == EvaluatedOn::Training
                && let Some(ratio) = self.early_stop.as_mut().and_then(|early_stop| early_stop.settled(loss))
            {
                events.push(Event::Converged { step, ratio });
                settled = true;
            }
        }
        Ok((events, settled))
    }

    /// By which share of what it was before the first step the loss has fallen, on pictures that are held out if there are any.
    /// None before it was evaluated after a step.
    pub fn gain(&self) -> Option<(EvaluatedOn, f64)> {
        let gain = |batch: &FixedBatch| Some((batch.on, 1.0 - batch.last? / batch.initial?));
        // The batch of those that are trained on was added first.
        self.batches.iter().rev().filter_map(gain).find(|(_, gain)| gain.is_finite())
    }

    /// Of pictures that are held out: the least loss, after the number of its step, and in the same way the last.
    pub fn held(&self, step: u32) -> Option<[(u32, f64); 2]> {
        let held = self.batches.iter().find(|batch| batch.on == EvaluatedOn::Unseen)?;
        Some([held.least?, (step, held.last?)])
    }

    /// How many losses early stopping has seen.
    pub fn losses_seen(&self) -> usize {
        self.early_stop.as_ref().map_or(0, |early_stop| early_stop.history().len())
    }

    /// Forgets all but the first losses that early stopping has seen, and what was least after a step.
    pub fn forget_after(&mut self, losses: usize, step: u32) {
        for batch in &mut self.batches {
            batch.least = batch.least.filter(|(after, _)| *after <= step);
        }
        if let Some(early_stop) = &mut self.early_stop {
            early_stop.truncate(losses);
        }
    }

    /// Writes itself into a state.
    pub fn save(&self, state: &mut RunState) {
        let initial = if self.batches.is_empty() {
            self.initial.clone()
        } else {
            self.batches.iter().filter_map(|batch| batch.initial).collect()
        };
        state.put_numbers("initial losses".to_owned(), Numbers::F64(initial));
        let least = |batch: &FixedBatch| batch.least.map_or([0.0, f64::INFINITY], |(step, loss)| [step.into(), loss]);
        let least =
            if self.batches.is_empty() { self.least.clone() } else { self.batches.iter().flat_map(least).collect() };
        state.put_numbers("least losses".to_owned(), Numbers::F64(least));
        if let Some(early_stop) = &self.early_stop {
            state.put_numbers("loss history".to_owned(), Numbers::F64(early_stop.history().to_vec()));
        }
    }

    /// Reads itself back.
    pub fn restore(&mut self, state: &RunState) -> Result<()> {
        self.initial = state.f64s("initial losses", None)?;
        // States of older versions lack them.
        self.least = state.f64s("least losses", None).unwrap_or_default();
        if let Some(early_stop) = &mut self.early_stop {
            early_stop.restore(state.f64s("loss history", None)?);
        }
        Ok(())
    }
}

/// Whether something that is done every few steps, before the first and after the last, is due.
pub(super) fn is_due(every: u32, step: u32, last: bool) -> bool {
    step == 0 || last || (every > 0 && step.is_multiple_of(every))
}
