//! The random choices of training: which picture, mirrored or not, which caption, how noisy, and the noise itself.

use super::dataset::{CachedLatents, Dataset};
use super::replay::Replay;
use super::sample::{OfPicture, Sample};
use super::{templates, usual};
use crate::config::TrainConfig;
use crate::model::Model;
use crate::noise::{Draws, Noise, Stream};
use crate::{Error, Result};

/// Where the random choices of a run come from.
pub(super) struct RandomChoices {
    noise: Noise,
    token: String,
    templates: Vec<String>,
    per_step: usize,
    eval_size: usize,
    timesteps: u32,
    scaling_factor: f32,
    replay: Option<Replay>,
}

/// The streams of training, or those of the fixed evaluation batch.
struct Streams {
    picture: Draws,
    flip: Draws,
    posterior: Draws,
    timestep: Draws,
    noise: Draws,
    caption: Draws,
}

impl RandomChoices {
    pub fn new(config: &TrainConfig, model: &Model, templates: Vec<String>, replay: Option<Replay>) -> Self {
        Self {
            noise: Noise::new(config.seed),
            token: config.token.clone(),
            templates,
            per_step: usual::samples_per_step(config, model.config.architecture) as usize,
            eval_size: config.eval_size as usize,
            timesteps: model.config.scheduler.num_train_timesteps as u32,
            scaling_factor: model.config.vae.scaling_factor as f32,
            replay,
        }
    }

    /// The samples of one step.
    pub fn samples(&self, step: u64, dataset: &Dataset) -> Result<Vec<Sample>> {
        if let Some(replay) = &self.replay {
            return replay.samples(step as usize, |picture| self.mean(dataset, picture));
        }
        let draws = |stream| self.noise.draws(step, stream);
        let mut streams = Streams {
            picture: draws(Stream::Picture),
            flip: draws(Stream::Flip),
            posterior: draws(Stream::Posterior),
            timestep: draws(Stream::Timestep),
            noise: draws(Stream::Noise),
            caption: draws(Stream::Caption),
        };
        let samples = (0..self.per_step).map(|_| {
            let picture = streams.picture.below(dataset.pictures.len() as u32) as usize;
            let timestep = streams.timestep.below(self.timesteps) as usize;
            self.sample(&mut streams, dataset, picture, timestep)
        });
        Ok(samples.collect())
    }

    /// A fixed evaluation batch: every picture in turn, timesteps spread evenly, all else drawn once. Empty where there
    /// are no pictures.
    pub fn evaluation(&self, dataset: &Dataset) -> Vec<Sample> {
        if dataset.pictures.is_empty() {
            return Vec::new();
        }
        let draws = |stream| self.noise.draws(0, stream);
        let mut streams = Streams {
            picture: draws(Stream::EvalPicture),
            flip: draws(Stream::EvalFlip),
            posterior: draws(Stream::EvalPosterior),
            timestep: draws(Stream::EvalTimestep),
            noise: draws(Stream::EvalNoise),
            caption: draws(Stream::EvalCaption),
        };
        let samples = (0..self.eval_size).map(|i| {
            let within = (i as f64 + streams.timestep.unit()) / self.eval_size as f64;
            let timestep = (within * f64::from(self.timesteps)) as usize;
            self.sample(&mut streams, dataset, i % dataset.pictures.len(), timestep)
        });
        samples.collect()
    }

    fn sample(&self, streams: &mut Streams, dataset: &Dataset, picture: usize, timestep: usize) -> Sample {
        let views = &dataset.pictures[picture];
        // Drawn even when there is nothing to choose, so that switching flips off changes nothing else.
        let flipped = streams.flip.flip();
        let view = &views[usize::from(flipped) % views.len()];
        let deviations = streams.posterior.normals(view.mean.len());
        let latents = view.mean.iter().zip(&view.std).zip(deviations);
        let latents = latents.map(|((mean, std), n)| (mean + std * n) * self.scaling_factor).collect();
        let choice = streams.caption.below(self.templates.len().max(1) as u32) as usize;
        let template = dataset.captions.get(picture).and_then(Option::as_ref).or(self.templates.get(choice));
        let caption = templates::fill(template.map_or("{}", String::as_str), &self.token);
        let (noise, weights) = (streams.noise.normals(view.mean.len()), view.weights.clone());
        Sample { latents, noise, size: view.size, timestep, caption, time_ids: view.time_ids, weights }
    }

    /// A picture's scaled latents without a draw, for replays that name a picture.
    fn mean(&self, dataset: &Dataset, picture: usize) -> Result<OfPicture> {
        let views: &Vec<CachedLatents> = dataset.pictures.get(picture).ok_or_else(|| {
            let given = dataset.pictures.len();
            Error::Usage(format!("the replay asks for picture {picture}, but {given} were given"))
        })?;
        let view = &views[0];
        let latents = view.mean.iter().map(|mean| mean * self.scaling_factor).collect();
        Ok(OfPicture { latents, weights: view.weights.clone(), time_ids: view.time_ids })
    }
}
