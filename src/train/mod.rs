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
mod sample;
mod scenes;
mod state;
pub mod templates;
pub mod usual;
mod verdict;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use web_time::Instant;

use crate::base::math::norm;
use crate::config::{Init, TrainConfig, option_name};
use crate::embedding::{Embedding, Encoder, Vectors};
use crate::event::{EvaluatedOn, Event, WarningCode};
use crate::model::Model;
use crate::parts::Architecture;
use crate::sample::{about_schedule, decided};
use crate::text::{Rows, Tokenizers};
use crate::{Error, Result};
pub use check::{check, check_numbers, check_side, file_can_hold, memory_plan, preview_stretches, recomputes, side};
pub use concerns::{concerns, texts};
use context::Context;
use dataset::{Dataset, Encoding};
use describe::Describing;
use draws::RandomChoices;
use evaluations::Evaluations;
use guard::{GoodMoment, Guard, LengthVerdict, NOT_THE_RATE, Remedy, SkipVerdict};
use identity::Inputs;
pub use input::{MakeCaptions, TrainInput, TrainPicture};
use learner::{Learner, PromptCache};
use loss::DiffusionLoss;
pub use masks::{MaskedPicture, check_masks, find_masks, find_masks_without_model};
use optimiser::{Optimiser, learning_rate};
pub use pictures::{about_pictures, about_pixels};
use previews::{PreviewProgress, Previews};
use quality::Judging;
pub use quality::{AdviceCode, Quality, TriedState};
pub use replay::Replay;
use sample::Sample;
pub use state::RunState;
pub use verdict::{Level, Verdict};

/// What of a step is not finite if the step itself was too long.
const AFTER_THE_STEP: &str = "the vector after the step";

/// What the job does next.
enum JobPhase {
    Begin,
    Encode,
    Evaluate,
    Preview,
    Step,
    Judge,
    Done,
}

/// An embedding being learned.
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
    /// Whether there was a step whose captions hold the token: its gradient shows whether training can work.
    gradient_checked: bool,
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
        let inputs = Arc::new(Inputs::of(config, &model, &known, &input));
        let init = input.init.clone().unwrap_or_else(|| Init::of_phrase(config.init.as_ref()));
        check(config, &init, &model.config, tokenizers.first())?;
        if input.pictures.is_empty() && !input.replay.as_ref().is_some_and(Replay::has_latents) {
            return Err(Error::NoPictures { place: "the request".to_owned() });
        }
        tokenizers.add_word(&config.token, config.vectors() as usize)?;
        let mut pending: VecDeque<Event> = concerns(config, &input, &tokenizers)?.into();
        let (rows, init_note) = init::rows(config, &init, &model)?;
        let describing = Describing::new(config, &input, &init);
        let judging = Judging::new(config, &init, &rows, !input.pictures.is_empty());
        let templates = input.templates.unwrap_or_else(|| {
            templates::templates(config.kind).iter().map(|template| (*template).to_owned()).collect()
        });
        if let Some(replay) = &input.replay {
            replay.check(config, &model.config)?;
        }
        let encoding = Encoding::new(config, &model, &init, (input.pictures, input.unseen), input.replay.is_some());
        let mut previews = Previews::new(config);
        previews.config = decided(&previews.config, &model.config);
        if previews.are_wanted() {
            pending.extend(about_schedule(&previews.config, &model.config));
        }
        let context = Context::new(config, &init);
        let scenes = context::scenes_for(config, context.as_ref(), &model);
        let learner = Learner {
            context,
            token: config.token.clone(),
            optimiser: Optimiser::new(config, rows, &model.text_encoders),
            choices: RandomChoices::new(config, &model, templates, scenes, input.replay),
            loss: DiffusionLoss::new(model.clone(), config, recomputes(config, &model.config)),
            dataset: Dataset::default(),
            batch_size: usual::batch(config, &model.config)[0] as usize,
            prompts: PromptCache::default(),
            usual_lengths: Vec::new(),
            model,
            tokenizers,
            known,
            init_note,
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
            gradient_checked: input.only_work,
            record: input.record.then(Vec::new),
            inputs,
            begun: Instant::now(),
        })
    }

    /// Optimiser steps made so far.
    pub fn step(&self) -> u32 {
        self.guard.counts.step
    }

    /// The embedding as it is now or, once it was tried, the state of it that is the result.
    pub fn embedding(&self) -> Embedding {
        let (config, model) = (&self.config, &self.learner.model);
        let result = self.judging.result(self.step());
        let step = result.map_or(self.step(), |(step, _)| step);
        let rows = result.map_or(self.learner.optimiser.rows(), |(_, rows)| rows);
        let metadata = [
            ("base-model", Some(model.name.clone())),
            ("model-hash", model.unet_hash.clone()),
            ("unet-samples", model.unet_samples.clone()),
            ("init", Some(self.learner.init_note.clone())),
            ("steps", Some(step.to_string())),
            ("recipe", Some(option_name(&config.recipe))),
            ("kind", Some(option_name(&config.kind))),
            ("lr", Some(self.peak_rate().to_string())),
            ("seed", Some(config.seed.to_string())),
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("quality", self.quality().and_then(Quality::in_short)),
        ];
        let encoders: &[Encoder] = match model.config.architecture {
            Architecture::Sd => &[Encoder::Unnamed],
            Architecture::Sdxl => &[Encoder::ClipL, Encoder::ClipG],
        };
        let vectors =
            |(Rows { values, width }, encoder): (Rows, &Encoder)| Vectors { encoder: *encoder, width, rows: values };
        Embedding {
            metadata: metadata.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect(),
            encoders: self.learner.apart(rows).into_iter().zip(encoders).map(vectors).collect(),
            token: config.token.clone(),
        }
    }

    /// Every random choice made so far, if they were to be kept.
    pub fn record(&self) -> Option<Vec<u8>> {
        let (steps, model) = (self.record.as_ref()?, &self.learner.model.config);
        Some(replay::write(steps, &self.config.token, model, side(&self.config, model)))
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
        self.gradient_checked = self.step() > 0;
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
            // A job that failed does nothing more.
            match std::mem::replace(&mut self.phase, JobPhase::Done) {
                JobPhase::Begin => self.begin(),
                JobPhase::Encode => self.encode().await?,
                JobPhase::Evaluate => self.evaluate().await?,
                JobPhase::Preview => self.make_preview().await?,
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
        self.pending.push_back(Event::Plan {
            token: config.token.clone(),
            vectors: config.vectors(),
            init: self.learner.init_note.clone(),
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
            let (training, unseen) = encoding.into_datasets();
            let choices = &self.learner.choices;
            self.evaluations.add(EvaluatedOn::Training, choices, &training);
            self.evaluations.add(EvaluatedOn::Unseen, choices, &unseen);
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
        } else {
            JobPhase::Step
        };
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

    async fn make_step(&mut self) -> Result<()> {
        let started = Instant::now();
        self.guard.keep_if_good(&self.learner, &self.evaluations);
        let made = self.step();
        let samples = self.learner.samples(made)?;
        let held = self.learner.holds_token(&samples, &self.config.token);
        let (loss, gradient) = self.learner.gradient(&samples).await?;
        if let Some(record) = &mut self.record {
            record.push(samples);
        }
        let step = made + 1;
        self.guard.counts.step = step;
        let grad_norm = norm(&gradient);
        if !loss.is_finite() || !grad_norm.is_finite() {
            return self.skip(if loss.is_finite() { "the gradient" } else { "the loss" });
        }
        let first = held && !self.gradient_checked;
        if first && grad_norm == 0.0 {
            let reason =
                format!("the gradient is zero: {} is in the captions, but the model ignores it", self.config.token);
            return Err(Error::Numeric { step, reason });
        }
        let lr = learning_rate(&self.config, self.peak_rate(), made) * self.guard.rate();
        if !self.learner.optimiser.step(&gradient, lr) {
            return self.skip(AFTER_THE_STEP);
        }
        let long = match self.guard.made(self.learner.relative_length()) {
            LengthVerdict::Usual => None,
            LengthVerdict::Long(text) => Some(Event::warning(WarningCode::LongVectors, text)),
            LengthVerdict::Diverged(reason) => return self.diverged(reason),
        };
        self.judging.notice(step, self.learner.optimiser.rows());
        if first {
            self.gradient_checked = true;
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

    /// The learning rate after warm-up.
    fn peak_rate(&self) -> f64 {
        usual::rate(&self.config, &self.learner.model.config) * self.learner.optimiser.unit()
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
