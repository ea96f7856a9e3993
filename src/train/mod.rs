//! Textual Inversion: pictures become an embedding.
//!
//! v* = argmin_v E || eps - eps_theta(z_t, t, c_theta(y)) ||^2 (arXiv 2208.01618), where only the vectors of the new
//! embedding move. A [`TrainJob`] encodes the pictures, checks the first gradient, makes steps, evaluates on fixed
//! batches and makes previews; each call of [`TrainJob::next`] does one of these and returns what happened. Its parts
//! have one duty each: `learner` is what is learned, `evaluations` what it is measured by, `previews` what it shows,
//! `guard` what watches over it.

mod check;
mod concerns;
pub mod context;
mod counts;
mod dataset;
mod describe;
mod draws;
mod early_stop;
mod evaluations;
pub mod generations;
mod guard;
mod identity;
mod init;
mod input;
mod learner;
mod locate;
mod loss;
mod masks;
mod optimiser;
mod pictures;
mod previews;
pub mod quality;
mod replay;
mod result;
mod sample;
mod scenes;
mod sentences;
mod state;
mod step;
pub mod templates;
mod together;
pub mod usual;
mod verdict;
mod words;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use web_time::Instant;

use crate::config::{TrainConfig, option_name};
use crate::event::{EvaluatedOn, Event, PlannedWord};
use crate::model::Model;
use crate::sample::{about_schedule, decided};
use crate::text::{Rows, Tokenizers};
use crate::{Error, Result};
pub use check::{check, check_numbers, check_side, file_can_hold, memory_plan, preview_stretches, recomputes, side};
pub use concerns::concerns;
use context::Context;
use dataset::{Dataset, Encoding};
use describe::Describing;
use draws::RandomChoices;
use evaluations::Evaluations;
use guard::{Guard, NOT_THE_RATE};
use identity::Inputs;
pub use input::{MakeCaptions, TrainInput, TrainPicture};
use learner::{Learner, PromptCache};
use loss::DiffusionLoss;
pub use masks::{MaskedPicture, check_masks, find_masks, find_masks_without_model};
use optimiser::Optimiser;
pub use pictures::{about_pictures, about_pixels};
use previews::{PreviewProgress, Previews};
use quality::Judging;
pub use quality::{AdviceCode, Quality, TriedState};
pub use replay::Replay;
use sample::Sample;
pub use sentences::texts;
pub use state::RunState;
pub use together::{Pace, step_together};
pub use verdict::{Level, Verdict};
use words::{Word, Words};

/// What the job does next.
enum JobPhase {
    Begin,
    Encode,
    Evaluate,
    Preview,
    Describe,
    Step,
    Judge,
    Done,
}

/// An embedding being learned, or two of the same pictures.
pub struct TrainJob {
    /// `steps` is where the run ends: earlier than the setting once its loss has settled.
    config: TrainConfig,
    learner: Learner,
    evaluations: Evaluations,
    previews: Previews,
    guard: Guard,
    /// Until all pictures are encoded.
    encoding: Option<Encoding>,
    describing: Describing,
    judging: Judging,
    phase: JobPhase,
    /// Events that happened and have not been taken yet.
    pending: VecDeque<Event>,
    /// What a step among others ended with, which is said after them.
    failed: Option<Error>,
    /// Of each word, whether there was a step whose captions hold its token: its gradient shows whether training can work.
    gradient_checked: Vec<bool>,
    /// The choices of each step, if they are recorded.
    record: Option<Vec<Vec<Sample>>>,
    inputs: Arc<Inputs>,
    begun: Instant,
}

impl TrainJob {
    /// Checks everything that can be checked before the long work starts.
    pub(crate) fn new(
        model: Rc<Model>,
        mut tokenizers: Tokenizers,
        known: Rows,
        config: &TrainConfig,
        input: TrainInput,
    ) -> Result<Self> {
        let config = &usual::decided(config, &model.config);
        let input = input.decided(config, model.config.usual_family());
        let config = &usual::with_context_weight(config, &input, model.config.usual_family());
        let inputs = Arc::new(Inputs::of(config, &model, &known, &input));
        let words = Words::new(config, &input);
        check(config, &input, &model.config, tokenizers.first())?;
        if input.pictures.is_empty() && !input.replay.as_ref().is_some_and(Replay::has_latents) {
            return Err(Error::NoPictures { place: "the request".to_owned() });
        }
        words.iter().try_for_each(|word| tokenizers.add_word(&word.token, word.vectors).map(drop))?;
        let mut pending: VecDeque<Event> = concerns(config, &input, &tokenizers)?.into();
        let rows = init::rows(config.seed, &words, &model)?;
        let describing = Describing::new(config, &input, &words, &model.config);
        let judging = Judging::new(config, &words, &rows, !input.pictures.is_empty());
        let templates = input.templates.unwrap_or_else(|| words::sentences(config));
        if let Some(replay) = &input.replay {
            replay.check(config, &model.config)?;
        }
        let encoding = Encoding::new(config, &model, &words, (input.pictures, input.unseen), input.replay.is_some());
        let mut previews = Previews::new(config);
        previews.config = decided(&previews.config, &model.config);
        if previews.are_wanted() {
            pending.extend(about_schedule(&previews.config, &model.config));
        }
        let context = Context::new(config, &words);
        let scenes = context::scenes_for(context.as_ref(), &words, &model);
        let gradient_checked = vec![input.only_work; words.len()];
        let learner = Learner {
            context,
            optimiser: Optimiser::new(config, rows, &model.text_encoders),
            choices: RandomChoices::new(config, &model, words.clone(), templates, scenes, input.replay),
            loss: DiffusionLoss::new(model.clone(), config, recomputes(config, &model.config)),
            dataset: Dataset::default(),
            batch_size: usual::batch(config, &model.config)[0] as usize,
            prompts: PromptCache::default(),
            usual_lengths: Vec::new(),
            model,
            tokenizers,
            known,
            words,
        };
        Ok(Self {
            config: config.clone(),
            learner,
            evaluations: Evaluations::new(config),
            previews,
            guard: Guard::new(config),
            encoding: Some(encoding),
            describing,
            judging,
            phase: JobPhase::Begin,
            pending,
            failed: None,
            gradient_checked,
            record: input.record.then(Vec::new),
            inputs,
            begun: Instant::now(),
        })
    }

    /// Optimiser steps made so far.
    pub fn step(&self) -> u32 {
        self.guard.counts.step
    }

    /// The pictures that [`Event::Masks`] is about, in its order, once it has happened; once.
    pub fn take_masked(&mut self) -> Vec<MaskedPicture> {
        self.encoding.as_mut().map(Encoding::take_masked).unwrap_or_default()
    }

    /// Everything that moves: with the same inputs, [`Session::resume`](crate::session::Session::resume) continues from
    /// here as if there had been no break. May be taken between any two events; cheap, since nothing is written yet.
    pub fn snapshot(&self) -> RunState {
        let mut state = RunState::new(self.step(), self.config.steps(), self.inputs.clone());
        self.learner.save(&mut state);
        self.evaluations.save(&mut state);
        self.guard.save(&mut state);
        self.describing.save(&mut state);
        self.judging.save(&mut state);
        state
    }

    /// A [`snapshot`](Self::snapshot) as a file of a few kilobytes.
    pub fn state(&self) -> Vec<u8> {
        self.snapshot().to_bytes()
    }

    /// Puts the run where the state was taken.
    pub(crate) fn restore(&mut self, state: &RunState) -> Result<()> {
        state.check(&self.inputs, self.learner.model.config.architecture)?;
        if self.record.is_some() {
            let text = "a run that resumes cannot be recorded: the choices of its first steps are gone";
            return Err(Error::Usage(text.to_owned()));
        }
        self.learner.restore(state)?;
        self.evaluations.restore(state)?;
        self.guard.restore(state, &self.learner.optimiser)?;
        self.describing.restore(state)?;
        self.judging.restore(state, self.learner.optimiser.rows().len())?;
        let begun = self.step() > 0;
        self.gradient_checked.fill(begun);
        if state.converged() {
            self.config.steps = Some(state.steps());
        }
        Ok(())
    }

    /// Works until the next event; none when everything is done.
    ///
    /// # Errors
    /// [`Error::Numeric`] if training cannot continue; [`TrainJob::embedding`] is then the last good vector.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            // A job that failed does nothing more.
            match std::mem::replace(&mut self.phase, JobPhase::Done) {
                JobPhase::Begin => self.begin(),
                JobPhase::Encode => self.encode().await?,
                JobPhase::Evaluate => self.evaluate().await?,
                JobPhase::Preview => self.make_preview().await?,
                JobPhase::Describe => self.describe().await?,
                JobPhase::Step => self.make_step().await?,
                JobPhase::Judge => self.judge().await?,
                JobPhase::Done => return Ok(None),
            }
        }
    }

    /// Reports what will be done.
    fn begin(&mut self) {
        if !self.previews.are_wanted() {
            self.learner.model.release_decoder();
        }
        let config = &self.config;
        let planned = |word: &Word| {
            let (token, vectors, init) = (word.token.clone(), word.vectors as u32, init::note(word));
            PlannedWord { token, vectors, init }
        };
        let mut words = self.learner.words.iter().map(planned);
        let (PlannedWord { token, vectors, init }, second) = (words.next().unwrap_or_default(), words.next());
        drop(words);
        self.pending.push_back(Event::Plan {
            token,
            vectors,
            init,
            second,
            steps: config.steps(),
            recipe: option_name(&config.recipe),
            lr: self.peak_rate(),
            samples_per_step: usual::samples_per_step(config, &self.learner.model.config),
            checkpointing: self.learner.loss.recomputes(),
        });
        if self.step() > 0 {
            self.pending.push_back(Event::Resumed { step: self.step(), of: self.config.steps() });
        }
        self.enter_next_phase();
    }

    async fn encode(&mut self) -> Result<()> {
        let Some(mut encoding) = self.encoding.take() else {
            self.enter_next_phase();
            return Ok(());
        };
        let events = encoding.next(&self.learner, &mut self.describing).await?;
        if events.is_empty() {
            let (mut training, unseen) = encoding.into_datasets();
            let choices = &self.learner.choices;
            self.evaluations.add(EvaluatedOn::Training, choices, &training);
            self.evaluations.add(EvaluatedOn::Unseen, choices, &unseen);
            // What is measured stays the same when captions change.
            self.describing.restore_later(&mut training);
            self.learner.begin(training);
        } else {
            self.encoding = Some(encoding);
        }
        self.pending.extend(events);
        self.enter_next_phase();
        Ok(())
    }

    /// Moves to the phase that is due after the steps made so far.
    fn enter_next_phase(&mut self) {
        let counts = &self.guard.counts;
        let last = counts.step == self.config.steps();
        // The first preview needs no pictures, and whoever waits for it would wait for them.
        let first = counts.step == 0 && self.previews.are_due(counts, last);
        self.phase = if !first && self.encoding.is_some() {
            JobPhase::Encode
        } else if !first && self.evaluations.are_due(counts, last) {
            JobPhase::Evaluate
        } else if self.previews.are_due(counts, last) {
            JobPhase::Preview
        } else if last && self.judging.is_due(counts.step) {
            JobPhase::Judge
        } else if last {
            let secs = self.begun.elapsed().as_secs_f64();
            self.pending.push_back(Event::Done { steps: counts.step, secs });
            JobPhase::Done
        } else if self.describing.is_due(counts.step) {
            JobPhase::Describe
        } else {
            JobPhase::Step
        };
    }

    async fn describe(&mut self) -> Result<()> {
        let mut dataset = std::mem::take(&mut self.learner.dataset);
        let event = self.describing.next_later(&mut dataset, &self.learner).await;
        self.learner.dataset = dataset;
        self.pending.extend(event?);
        self.enter_next_phase();
        Ok(())
    }

    async fn evaluate(&mut self) -> Result<()> {
        let step = self.step();
        let (events, settled) = self.evaluations.evaluate(&self.learner, step).await?;
        let broken = |event: &Event| matches!(event, Event::Evaluation { loss, .. } if !loss.is_finite());
        if self.guard.nothing_was_made() && events.iter().any(broken) {
            let reason = format!("the loss is not a finite number; {NOT_THE_RATE}");
            return Err(Error::Numeric { step, reason });
        }
        self.pending.extend(events);
        if settled {
            // What is left of the plan is this step's: the last preview, then the end.
            self.config.steps = Some(step);
        }
        self.guard.counts.evaluated = Some(step);
        self.enter_next_phase();
        Ok(())
    }

    async fn make_preview(&mut self) -> Result<()> {
        let step = self.step();
        match self.previews.advance(&self.learner, step).await? {
            PreviewProgress::Underway(event) => {
                self.pending.push_back(event);
                self.phase = JobPhase::Preview;
            }
            PreviewProgress::Ready(warning) => {
                self.pending.push_back(Event::Preview { step, path: None });
                self.pending.extend(warning);
                self.guard.counts.previewed = Some(step);
                self.enter_next_phase();
            }
        }
        Ok(())
    }

    async fn judge(&mut self) -> Result<()> {
        let step = self.step();
        let event = self.judging.advance(&self.learner, &self.evaluations, step).await?;
        self.pending.push_back(event);
        self.enter_next_phase();
        Ok(())
    }
}
