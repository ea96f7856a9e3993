//! What a run shows of itself: pictures of a fixed prompt and seed.

use image::RgbImage;

use super::TrainJob;
use super::counts::Counts;
use super::evaluations::is_due;
use super::learner::Learner;
use crate::config::{Kind, SampleConfig, SamplerKind, TrainConfig};
use crate::event::{Event, WarningCode};
use crate::sample::{Label, SampleJob, used};
use crate::{Error, Result};

/// The previews of a run.
pub(super) struct Previews {
    every: u32,
    pub prompt: String,
    pub config: SampleConfig,
    /// The one that is being made.
    job: Option<SampleJob>,
    /// The newest, with the step it was made after, until it is taken.
    pub picture: Option<(u32, RgbImage)>,
}

impl TrainJob {
    /// The newest preview, with the step it was made after.
    pub fn take_preview(&mut self) -> Option<(u32, RgbImage)> {
        self.previews.picture.take()
    }

    /// The prompt of the previews.
    pub fn preview_prompt(&self) -> &str {
        &self.previews.prompt
    }

    /// The text of a preview's PNG: how it was made, after how many steps. `model` is what the model is called and the hash
    /// of its U-Net's weights, `known` are the embeddings besides the new ones with the hashes of their files.
    pub fn preview_label(
        &self,
        step: u32,
        picture: &RgbImage,
        (model, model_hash): (&str, Option<&str>),
        known: &[(String, String)],
    ) -> Vec<(String, String)> {
        let previews = &self.previews;
        let prompt = self.learner.tokenizers.read(&previews.prompt, previews.config.prompt_syntax);
        let tokens: Vec<&str> = prompt.tokens().words.iter().map(String::as_str).collect();
        let mut embeddings = known.to_vec();
        embeddings.extend(self.embeddings().into_iter().map(|mut embedding| {
            embedding.metadata.insert("base-model".to_owned(), model.to_owned());
            (embedding.token.clone(), embedding.hash())
        }));
        let label = Label {
            prompt: &previews.prompt,
            config: &previews.config,
            seed: Some(previews.config.seed),
            size: picture.dimensions(),
            model,
            model_hash,
            embeddings: &used(&tokens, &embeddings),
        };
        let mut text = label.text();
        text.push(("training step".to_owned(), step.to_string()));
        text
    }
}

/// How far a preview has come.
pub(super) enum PreviewProgress {
    /// Something happened while a preview was made.
    Underway(Event),
    /// It is made, or cannot be: then there is a warning.
    Ready(Option<Event>),
}

/// The prompt of a run's previews.
pub(super) fn prompt(config: &TrainConfig) -> String {
    let token = &config.token;
    let usual = || match (config.second().map(|second| (second.kind, second.token)), config.kind) {
        (None, Kind::Object) => format!("a photo of a {token}"),
        (None, Kind::Style) => format!("a picture in the style of {token}"),
        (Some((Kind::Style, style)), Kind::Object) => format!("a picture of a {token} in the style of {style}"),
        (Some((Kind::Object, thing)), Kind::Style) => format!("a picture of a {thing} in the style of {token}"),
        (Some((Kind::Object, other)), Kind::Object) => format!("a photo of a {token} and a {other}"),
        (Some((Kind::Style, other)), Kind::Style) => format!("a picture in the style of {token} and {other}"),
    };
    config.preview_prompt.clone().unwrap_or_else(usual)
}

/// The next event that is more than a warning: the run has warned of its previews, once.
async fn without_warnings(job: &mut SampleJob) -> Result<Option<Event>> {
    loop {
        match job.next().await? {
            Some(Event::Warning { .. }) => {}
            event => return Ok(event),
        }
    }
}

impl Previews {
    pub fn new(config: &TrainConfig) -> Self {
        let (every, prompt) = (config.preview_every, prompt(config));
        // With few steps DPM++ 2M comes nearest to what many would give.
        let (sampler, steps) = (Some(SamplerKind::Dpmpp2m), Some(config.preview_steps));
        let (seed, pooling, prompt_syntax) = (config.seed, config.pooling, config.prompt_syntax);
        let config = SampleConfig { seed, sampler, steps, pooling, prompt_syntax, ..SampleConfig::default() };
        Self { every, prompt, config, job: None, picture: None }
    }

    /// Whether there are any.
    pub fn are_wanted(&self) -> bool {
        self.every > 0
    }

    /// Whether one is due now.
    pub fn are_due(&self, counts: &Counts, last: bool) -> bool {
        self.are_wanted() && is_due(self.every, counts.step, last) && counts.previewed != Some(counts.step)
    }

    /// Works at the preview of a step until something happens.
    pub async fn advance(&mut self, learner: &Learner, step: u32) -> Result<PreviewProgress> {
        let mut job = match self.job.take() {
            Some(job) => job,
            None => {
                let (model, tokenizers) = (learner.model.clone(), learner.tokenizers.clone());
                SampleJob::new(model, tokenizers, &learner.rows(), &self.prompt, &self.config)?
            }
        };
        let next = match without_warnings(&mut job).await {
            // A run must not be lost for a picture: in f16 some decoders overflow.
            Err(Error::NotFinite { reason, .. }) => {
                self.picture = None;
                return Ok(PreviewProgress::Ready(Some(Event::warning(
                    WarningCode::NoPreview,
                    format!("no preview: it came out with NaN or infinite values; {reason}"),
                ))));
            }
            next => next?,
        };
        match next {
            Some(event @ Event::Denoise { .. }) => {
                self.job = Some(job);
                Ok(PreviewProgress::Underway(event))
            }
            Some(_) | None => {
                self.picture = job.take_pictures().pop().map(|picture| (step, picture));
                Ok(PreviewProgress::Ready(None))
            }
        }
    }
}
