//! Textual Inversion: pictures become a word.
//!
//! v* = argmin_v E || eps - eps_theta(z_t, t, c_theta(y)) ||^2 (arXiv 2208.01618), where only the rows of the new word
//! move. A [`TrainJob`] encodes the pictures, checks the first gradient, makes steps, evaluates on a fixed batch and makes
//! previews; each call of [`TrainJob::next`] does one of these and says what happened.

mod check;
mod choices;
mod dataset;
mod early_stop;
pub mod generations;
mod init;
mod loss;
mod optimiser;
mod replay;
mod state;
pub mod templates;
mod watch;

use std::collections::VecDeque;
use std::rc::Rc;

use image::RgbImage;
use web_time::Instant;

use burn::tensor::Tensor;

use crate::base::math::norm;
use crate::config::{Checkpointing, Kind, SampleConfig, TrainConfig};
use crate::embedding::Embedding;
use crate::event::{EvaluatedOn, Event};
use crate::image::Picture;
use crate::model::{Model, ModelConfig};
use crate::ops::{Var, backward};
use crate::sample::{DECODING, SampleJob};
use crate::text::{Rows, Tokenizers};
use crate::vae::VaeEncoder;
use crate::{Error, Result, ops};
pub use check::check;
use check::side;
use choices::{Choices, Sample};
use dataset::Dataset;
use early_stop::EarlyStop;
use optimiser::Optimiser;
pub use optimiser::learning_rate;
pub use replay::Replay;
pub use state::RunState;
use state::{Counts, Inputs};
use watch::Watch;

/// What a word is learned from.
#[derive(Debug, Clone, Default)]
pub struct TrainInput {
    /// The pictures.
    pub pictures: Vec<TrainPicture>,
    /// Pictures of the same thing that the word is not learned from: the loss on them is told too.
    pub unseen: Vec<TrainPicture>,
    /// Caption templates with one `{}` where the word goes; none means those of the kind.
    pub templates: Option<Vec<String>>,
    /// An embedding whose vectors the word starts from, instead of the initialiser in the configuration.
    pub init: Option<Embedding>,
    /// Every random choice, taken from a file instead of drawn.
    pub replay: Option<Replay>,
    /// Whether to keep every random choice for [`TrainJob::record`].
    pub record: bool,
}

/// A picture and perhaps what it shows.
#[derive(Debug, Clone)]
pub struct TrainPicture {
    /// The picture.
    pub picture: Picture,
    /// Its own caption, with one `{}` where the word goes.
    pub caption: Option<String>,
}

/// What the job does next.
enum Phase {
    Encode { encoder: Option<Box<VaeEncoder>>, waiting: VecDeque<(EvaluatedOn, TrainPicture)> },
    Plan,
    Evaluate,
    Preview,
    Step,
    Done,
}

/// A fixed evaluation batch, and its loss before the first step.
struct Evaluation {
    on: EvaluatedOn,
    samples: Vec<Sample>,
    initial: Option<f64>,
}

/// A word being learned.
pub struct TrainJob {
    model: Rc<Model>,
    tokenizer: Tokenizers,
    config: TrainConfig,
    /// Words that were known before; they may occur in captions and the preview prompt.
    known: Rows,
    init_note: String,
    optimiser: Optimiser,
    choices: Choices,
    dataset: Dataset,
    unseen: Dataset,
    evaluations: Vec<Evaluation>,
    early_stop: Option<EarlyStop>,
    recompute: bool,
    phase: Phase,
    pending: VecDeque<Event>,
    preview: Option<SampleJob>,
    preview_picture: Option<(u32, RgbImage)>,
    begun: Instant,
    counts: Counts,
    watch: Watch,
    record: Option<Vec<Vec<Sample>>>,
    inputs: Inputs,
    /// Losses on the fixed batches before the first step, of a run that goes on.
    initial: Vec<f64>,
}

impl TrainJob {
    /// Checks everything that can be checked before the long work starts.
    pub(crate) fn new(
        model: Rc<Model>,
        mut tokenizer: Tokenizers,
        known: Rows,
        config: &TrainConfig,
        input: TrainInput,
    ) -> Result<Self> {
        // Where there is an embedding to start from, the initialiser names its file and is no phrase.
        let phrase = config.init.clone().filter(|_| input.init.is_none());
        check(&TrainConfig { init: phrase, ..config.clone() }, &model.config, tokenizer.first())?;
        if input.pictures.is_empty() && !input.replay.as_ref().is_some_and(Replay::has_latents) {
            return Err(Error::NoPictures { place: "the request".to_owned() });
        }
        let inputs = Inputs::of(config, &model, &known, &input);
        let vectors = config.vectors as usize;
        let plain = tokenizer.clone();
        tokenizer.add_word(&config.token, vectors)?;
        let (rows, init_note) = init::rows(config, plain.first(), &model, input.init.as_ref())?;
        let captions = |pictures: &[TrainPicture]| pictures.iter().map(|picture| picture.caption.clone()).collect();
        let (captions, unseen_captions) = (captions(&input.pictures), captions(&input.unseen));
        let templates = input.templates.unwrap_or_else(|| {
            templates::templates(config.kind).iter().map(|template| (*template).to_owned()).collect()
        });
        if let Some(replay) = &input.replay {
            replay.check(config, &model)?;
        }
        let choices = Choices::new(config, &model, templates, input.replay);
        let optimiser = Optimiser::new(config, rows, known.width, &model.text().model);
        let recompute = recomputes(config, &model.config);
        let pictures = input.pictures.into_iter().map(|picture| (EvaluatedOn::Training, picture));
        let unseen = input.unseen.into_iter().map(|picture| (EvaluatedOn::Unseen, picture));
        let waiting = pictures.chain(unseen).collect();
        Ok(Self {
            dataset: Dataset::new(!config.no_flip, captions),
            unseen: Dataset::new(!config.no_flip, unseen_captions),
            early_stop: config.early_stop.then(|| EarlyStop::new(config)),
            record: input.record.then(Vec::new),
            phase: Phase::Encode { encoder: None, waiting },
            config: config.clone(),
            evaluations: Vec::new(),
            pending: VecDeque::new(),
            preview: None,
            preview_picture: None,
            begun: Instant::now(),
            counts: Counts::default(),
            watch: Watch::default(),
            model,
            tokenizer,
            known,
            init_note,
            optimiser,
            choices,
            recompute,
            inputs,
            initial: Vec::new(),
        })
    }

    /// Optimiser steps made so far.
    pub fn step(&self) -> u32 {
        self.counts.step
    }

    /// The word as it is now.
    pub fn embedding(&self) -> Embedding {
        let config = &self.config;
        let metadata = [
            ("base-model", self.model.name.clone()),
            ("init", self.init_note.clone()),
            ("steps", self.counts.step.to_string()),
            ("recipe", serde_name(&config.recipe)),
            ("kind", serde_name(&config.kind)),
            ("lr", learning_rate::peak(config).to_string()),
            ("seed", config.seed.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Embedding {
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..Embedding::new(&config.token, self.known.width, self.optimiser.rows().to_vec())
        }
    }

    /// The newest preview, with the step it was made after.
    pub fn take_preview(&mut self) -> Option<(u32, RgbImage)> {
        self.preview_picture.take()
    }

    /// The prompt of the previews.
    pub fn preview_prompt(&self) -> String {
        let token = &self.config.token;
        self.config.preview_prompt.clone().unwrap_or_else(|| match self.config.kind {
            Kind::Object => format!("a photo of a {token}"),
            Kind::Style => format!("a picture in the style of {token}"),
        })
    }

    /// Every random choice made so far, if they were to be kept.
    pub fn record(&self) -> Option<Vec<u8>> {
        let steps = self.record.as_ref()?;
        Some(replay::write(steps, &self.config.token, &self.model.config, side(&self.config, &self.model.config)))
    }

    /// Works until the next event; none when everything is done.
    ///
    /// # Errors
    /// [`Error::Numeric`] if training cannot go on; [`TrainJob::embedding`] is then the last good vector.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if let Some(event) = self.advance().await? {
                return Ok(Some(event));
            }
            if self.pending.is_empty() && matches!(self.phase, Phase::Done) {
                return Ok(None);
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Event>> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Encode { encoder, waiting } => self.encode(encoder, waiting).await,
            Phase::Plan => Ok(Some(self.plan()?)),
            Phase::Evaluate => self.evaluate().await,
            Phase::Preview => self.make_preview().await,
            Phase::Step => self.make_step().await.map(Some),
            Phase::Done => Ok(None),
        }
    }

    async fn encode(
        &mut self,
        encoder: Option<Box<VaeEncoder>>,
        mut waiting: VecDeque<(EvaluatedOn, TrainPicture)>,
    ) -> Result<Option<Event>> {
        let Some((set, next)) = waiting.pop_front() else {
            // The encoder is dropped here: nothing needs it any more.
            self.phase = Phase::Plan;
            return Ok(None);
        };
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => {
                if self.config.preview_every == 0 {
                    self.model.release_decoder();
                }
                let pending = &mut self.pending;
                Box::new(self.model.encoder(&mut |event| pending.push_back(event)).await?)
            }
        };
        let side = side(&self.config, &self.model.config);
        let dataset = match set {
            EvaluatedOn::Training => &mut self.dataset,
            EvaluatedOn::Unseen => &mut self.unseen,
        };
        let prepared = dataset.encode(&next.picture, side, self.config.framing, &encoder, &self.model).await?;
        let done = (self.dataset.pictures.len() + self.unseen.pictures.len()) as u32;
        let total = done + waiting.len() as u32;
        self.phase = Phase::Encode { encoder: Some(encoder), waiting };
        self.pending.push_back(Event::Encode { done, total, name: next.picture.name, prepared });
        Ok(None)
    }

    fn plan(&mut self) -> Result<Event> {
        for (on, dataset) in [(EvaluatedOn::Training, &self.dataset), (EvaluatedOn::Unseen, &self.unseen)] {
            let samples = self.choices.evaluation(dataset);
            if !samples.is_empty() {
                let initial = self.initial.get(self.evaluations.len()).copied();
                self.evaluations.push(Evaluation { on, samples, initial });
            }
        }
        self.watch.typical = self.model.text().model.median_row_norm();
        self.phase = self.after_step();
        if self.counts.step > 0 {
            self.pending.push_back(Event::Resumed { step: self.counts.step, of: self.config.steps });
        }
        self.finish_if_done();
        let config = &self.config;
        Ok(Event::Plan {
            token: config.token.clone(),
            vectors: config.vectors,
            init: self.init_note.clone(),
            steps: config.steps,
            recipe: serde_name(&config.recipe),
            lr: learning_rate::peak(config),
            samples_per_step: config.batch_size * config.gradient_accumulation,
            checkpointing: self.recompute,
        })
    }

    /// What is due once `self.counts.step` steps are made.
    fn after_step(&self) -> Phase {
        let last = self.counts.step == self.config.steps;
        let due = |every: u32| self.counts.step == 0 || last || (every > 0 && self.counts.step.is_multiple_of(every));
        let evaluate = due(self.config.eval_every) || self.early_stop.is_some();
        if evaluate && self.counts.evaluated != Some(self.counts.step) && !self.evaluations.is_empty() {
            Phase::Evaluate
        } else if self.config.preview_every > 0
            && due(self.config.preview_every)
            && self.counts.previewed != Some(self.counts.step)
        {
            Phase::Preview
        } else if last {
            Phase::Done
        } else {
            Phase::Step
        }
    }

    async fn evaluate(&mut self) -> Result<Option<Event>> {
        let rows = Var::constant(self.all_rows());
        for i in 0..self.evaluations.len() {
            let (mut sum, mut count) = (0.0, 0);
            for samples in self.evaluations[i].samples.chunks(self.config.batch_size as usize) {
                let loss = self.loss(samples, &rows)?.into_value();
                sum += f64::from(ops::read(loss).await?[0]) * samples.len() as f64;
                count += samples.len();
            }
            let (loss, evaluation) = (sum / count as f64, &mut self.evaluations[i]);
            let initial = *evaluation.initial.get_or_insert(loss);
            self.pending.push_back(Event::Evaluation { on: evaluation.on, step: self.counts.step, loss, initial });
            if evaluation.on == EvaluatedOn::Training
                && let Some(ratio) = self.early_stop.as_mut().and_then(|early_stop| early_stop.settled(loss))
            {
                self.pending.push_back(Event::Converged { step: self.counts.step, ratio });
                // The rest of the plan is this step's: the last preview, then the end.
                self.config.steps = self.counts.step;
            }
        }
        self.counts.evaluated = Some(self.counts.step);
        self.phase = self.after_step();
        self.finish_if_done();
        Ok(None)
    }

    async fn make_preview(&mut self) -> Result<Option<Event>> {
        let mut job = match self.preview.take() {
            Some(job) => job,
            None => {
                let mut rows = self.known.clone();
                rows.values.extend(self.optimiser.rows());
                let config = SampleConfig { seed: self.config.seed, ..SampleConfig::default() };
                let prompt = self.preview_prompt();
                SampleJob::new(self.model.clone(), self.tokenizer.clone(), &rows, &prompt, &config)?
            }
        };
        let next = match job.next().await {
            // A picture is no reason to lose a run: in f16 some decoders overflow.
            Err(Error::Gpu { during, reason }) if during == DECODING => {
                self.pending.push_back(Event::warning("no-preview", format!("no preview: {reason}")));
                None
            }
            next => next?,
        };
        match next {
            Some(event @ (Event::Denoise { .. } | Event::Warning { .. })) => {
                self.preview = Some(job);
                self.phase = Phase::Preview;
                Ok(Some(event))
            }
            Some(_) | None => {
                self.preview_picture = job.take_pictures().pop().map(|picture| (self.counts.step, picture));
                self.counts.previewed = Some(self.counts.step);
                self.phase = self.after_step();
                self.finish_if_done();
                Ok(Some(Event::Preview { step: self.counts.step, path: None }))
            }
        }
    }

    fn finish_if_done(&mut self) {
        if matches!(self.phase, Phase::Done) {
            let secs = self.begun.elapsed().as_secs_f64();
            self.pending.push_back(Event::Done { steps: self.counts.step, secs });
        }
    }

    /// The rows of all learned words, the new one last.
    fn all_rows(&self) -> Tensor<2> {
        let mut rows = self.known.clone();
        rows.values.extend(self.optimiser.rows());
        rows.tensor(&self.model.device)
    }

    /// The loss of samples, `[1]`.
    fn loss(&self, samples: &[Sample], rows: &Var<2>) -> Result<Var<1>> {
        let prompts = samples.iter().map(|sample| self.tokenizer.prompt(&sample.caption)).collect::<Vec<_>>();
        Ok(loss::diffusion_loss(&self.model, samples, &prompts, rows, self.config.snr_gamma, self.recompute))
    }

    async fn make_step(&mut self) -> Result<Event> {
        let started = Instant::now();
        self.keep_if_good();
        let number = self.counts.step + 1;
        let samples = self.choices.samples(u64::from(self.counts.step), &self.dataset)?;
        let (loss, gradient) = self.gradient(&samples).await?;
        if let Some(record) = &mut self.record {
            record.push(samples);
        }
        self.counts.step = number;
        self.phase = self.after_step();
        let grad_norm = norm(&gradient);
        if !loss.is_finite() || !grad_norm.is_finite() {
            return self.skip(if loss.is_finite() { "the gradient" } else { "the loss" });
        }
        if number == 1 {
            if grad_norm == 0.0 {
                let reason = "the gradient is zero: no caption holds the token, or the model ignores it".to_owned();
                return Err(Error::Numeric { step: number, reason });
            }
            self.pending.push_back(Event::FirstGradient { norm: grad_norm });
        }
        let lr = learning_rate::at(&self.config, number - 1) * self.rate();
        if !self.optimiser.step(&gradient, lr) {
            return self.skip("the vector after the step");
        }
        self.counts.skipped_in_a_row = 0;
        if let Some(rewound) = self.check_length()? {
            return Ok(rewound);
        }
        self.finish_if_done();
        let row_norm = self.optimiser.mean_norm();
        let secs = started.elapsed().as_secs_f64();
        let step = Event::Step { step: number, of: self.config.steps, loss, lr, grad_norm, row_norm, secs };
        // The first gradient is told before the step that used it.
        self.pending.insert(usize::from(number == 1), step);
        self.pending.pop_front().ok_or_else(|| Error::Internal("a step without an event".to_owned()))
    }

    /// Mean loss of the samples and its gradient to the new rows.
    async fn gradient(&self, samples: &[Sample]) -> Result<(f64, Vec<f32>)> {
        let passes = samples.chunks(self.config.batch_size as usize);
        let share = 1.0 / passes.len() as f64;
        let known = self.known.count();
        let (mut total, mut sum) = (0.0, vec![0.0; self.optimiser.rows().len()]);
        for samples in passes {
            let rows = Var::leaf(self.all_rows());
            let loss = self.loss(samples, &rows)?;
            let mut gradients = backward(&loss, Tensor::ones([1], &self.model.device));
            let all = rows.dims()[0];
            // The loss travels with the gradient: one reading a pass.
            let values = match gradients.take(&rows) {
                Some(gradient) => {
                    let new = gradient.narrow(0, known, all - known).reshape([sum.len()]);
                    ops::read(Tensor::cat(vec![loss.into_value(), new], 0)).await?
                }
                None => ops::read(loss.into_value()).await?,
            };
            total += f64::from(values[0]) * share;
            for (sum, value) in sum.iter_mut().zip(&values[1..]) {
                *sum += value * share as f32;
            }
        }
        Ok((total, sum))
    }
}

/// Whether a run computes blocks again in the backward pass instead of remembering them.
pub fn recomputes(config: &TrainConfig, model: &ModelConfig) -> bool {
    match config.checkpointing {
        Checkpointing::On => true,
        Checkpointing::Off => false,
        Checkpointing::Auto => loss::tape_bytes(model, side(config, model), config.batch_size) > 512 << 20,
    }
}

/// How an option is spelled.
fn serde_name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
