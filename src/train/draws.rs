//! The random choices of training: which picture, mirrored or not, which caption, how noisy, and the noise itself.

use super::dataset::{CachedLatents, Dataset};
use super::describe::Phrases;
use super::replay::Replay;
use super::sample::{OfPicture, Sample};
use super::templates::places;
use super::usual;
use super::words::Words;
use crate::config::{Span, TimestepDistribution, TrainConfig};
use crate::model::Model;
use crate::noise::{Draws, Noise, Stream};
use crate::{Error, Result};

/// What timesteps are counted in where a setting names them.
pub(super) const TIMESTEPS: u32 = 1000;

/// Where the random choices of a run come from.
pub(super) struct RandomChoices {
    noise: Noise,
    words: Words,
    templates: Vec<String>,
    phrases: Phrases,
    scenes: Vec<String>,
    per_step: usize,
    eval_size: usize,
    timesteps: Timesteps,
    caption_dropout: f64,
    alone: f64,
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
    background: Draws,
}

/// What of a sentence is said.
#[derive(Default)]
struct Saying {
    /// Nothing but the words that are learned.
    bare: bool,
    /// Of two words only the one with this number, if that can be.
    kept: Option<usize>,
}

impl RandomChoices {
    /// `templates` are for pictures without a caption; `scenes` for samples that are to have one.
    pub fn new(
        config: &TrainConfig,
        model: &Model,
        words: Words,
        templates: Vec<String>,
        scenes: Vec<String>,
        replay: Option<Replay>,
    ) -> Self {
        Self {
            noise: Noise::new(config.seed),
            words,
            templates,
            phrases: Phrases::of(&model.config),
            scenes,
            per_step: usual::samples_per_step(config, &model.config) as usize,
            eval_size: config.eval_size as usize,
            timesteps: Timesteps::new(
                usual::timesteps(config, model.config.usual_family()),
                config.timestep_distribution,
                model.config.scheduler.num_train_timesteps as u32,
            ),
            caption_dropout: config.caption_dropout,
            alone: config.alone,
            scaling_factor: model.config.vae.scaling_factor as f32,
            replay,
        }
    }

    /// The samples of one step.
    pub fn samples(&self, step: u64, dataset: &Dataset) -> Result<Vec<Sample>> {
        let mut samples = match &self.replay {
            Some(replay) => replay.samples(step as usize, |picture| self.mean(dataset, picture))?,
            None => self.drawn(step, dataset),
        };
        let mut scene = self.noise.draws(step, Stream::Scene);
        for sample in &mut samples {
            if self.scenes.is_empty() {
                // Of a file whose run had them.
                sample.scene = None;
            } else {
                let drawn = &self.scenes[scene.below(self.scenes.len() as u32) as usize];
                sample.scene.get_or_insert_with(|| drawn.clone());
            }
        }
        Ok(samples)
    }

    fn drawn(&self, step: u64, dataset: &Dataset) -> Vec<Sample> {
        let draws = |stream| self.noise.draws(step, stream);
        let mut streams = Streams {
            picture: draws(Stream::Picture),
            flip: draws(Stream::Flip),
            posterior: draws(Stream::Posterior),
            timestep: draws(Stream::Timestep),
            noise: draws(Stream::Noise),
            caption: draws(Stream::Caption),
            background: draws(Stream::Background),
        };
        let (mut bare, mut alone) = (draws(Stream::CaptionDropout), draws(Stream::Alone));
        let samples = (0..self.per_step).map(|_| {
            let picture = streams.picture.below(dataset.pictures.len() as u32) as usize;
            let timestep = self.timesteps.draw(&mut streams.timestep) as usize;
            let (is_alone, kept) = (alone.unit() < self.alone, usize::from(alone.flip()));
            let saying = Saying { bare: bare.unit() < self.caption_dropout, kept: is_alone.then_some(kept) };
            self.sample(&mut streams, dataset, (picture, timestep), saying)
        });
        samples.collect()
    }

    /// A fixed evaluation batch: every picture in turn, timesteps spread evenly, all else drawn once. Empty where there
    /// are no pictures. Whichever timesteps a run learns from, and however often without the rest of a caption or a word, it is
    /// the same, so that losses of different runs can be compared.
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
            background: draws(Stream::EvalBackground),
        };
        let samples = (0..self.eval_size).map(|i| {
            let within = (i as f64 + streams.timestep.unit()) / self.eval_size as f64;
            let timestep = (within * f64::from(self.timesteps.all)) as usize;
            self.sample(&mut streams, dataset, (i % dataset.pictures.len(), timestep), Saying::default())
        });
        samples.collect()
    }

    fn sample(
        &self,
        streams: &mut Streams,
        dataset: &Dataset,
        (picture, timestep): (usize, usize),
        saying: Saying,
    ) -> Sample {
        let backgrounds = &dataset.backgrounds[picture];
        // Drawn even when there is nothing to choose, so that switching flips off changes nothing else.
        let (flipped, before) = (streams.flip.flip(), streams.background.below(backgrounds.len() as u32) as usize);
        let view = dataset.view(picture, before, flipped);
        let deviations = streams.posterior.normals(view.mean.len());
        let latents = view.mean.iter().zip(&view.std).zip(deviations);
        let latents = latents.map(|((mean, std), n)| (mean + std * n) * self.scaling_factor).collect();
        let choice = streams.caption.below(self.templates.len().max(1) as u32) as usize;
        let text = dataset.captions[picture][before].clone().unwrap_or_else(|| {
            let template = self.templates.get(choice).map_or("{}", String::as_str);
            let behind = backgrounds[before].map(|colour| self.phrases.behind(colour)).unwrap_or_default();
            format!("{template}{behind}")
        });
        let text = saying.kept.and_then(|kept| self.words.alone(&text, kept)).unwrap_or(text);
        let caption = if saying.bare { self.bare(&text) } else { self.words.fill(&text) };
        let noise = streams.noise.normals(view.mean.len());
        let weights = view.weights.clone().filter(|_| self.words.counts_by_mask(&text));
        Sample { latents, noise, size: view.size, timestep, caption, scene: None, time_ids: view.time_ids, weights }
    }

    /// Nothing but the tokens of the words that are in a sentence.
    fn bare(&self, sentence: &str) -> String {
        let tokens = self.words.tokens();
        let held = tokens.iter().zip(places(sentence, tokens.len())).filter(|(_, has)| *has || tokens.len() == 1);
        held.map(|(token, _)| *token).collect::<Vec<_>>().join(" ")
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

/// Which timesteps samples get, and how often.
struct Timesteps {
    /// How many the model knows.
    all: u32,
    /// From the first up to, but not including, the second.
    range: Span,
    distribution: TimestepDistribution,
}

impl Timesteps {
    fn new(range: Option<Span>, distribution: TimestepDistribution, all: u32) -> Self {
        let scaled = |of_thousand: u32| (u64::from(of_thousand) * u64::from(all) / u64::from(TIMESTEPS)) as u32;
        let Span { from, to } = range.unwrap_or(Span { from: 0, to: TIMESTEPS });
        // Models know a thousand; of one that knows fewer, at least one is left.
        let from = scaled(from).min(all - 1);
        Self { all, range: Span { from, to: scaled(to).max(from + 1) }, distribution }
    }

    fn draw(&self, draws: &mut Draws) -> u32 {
        let Span { from, to } = self.range;
        let count = to - from;
        let share = match self.distribution {
            TimestepDistribution::Uniform => return from + draws.below(count),
            TimestepDistribution::LogitNormal => 1.0 / (1.0 + libm::exp(-f64::from(draws.normal()))),
            // The larger of two has this density.
            TimestepDistribution::Rising => draws.unit().max(draws.unit()),
            TimestepDistribution::Falling => draws.unit().min(draws.unit()),
        };
        // A share may be rounded to 1.
        from + ((share * f64::from(count)) as u32).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many draws, and how many of them are in each quarter of the range.
    fn quarters(range: Option<Span>, distribution: TimestepDistribution, all: u32) -> ([u32; 4], Vec<u32>) {
        let timesteps = Timesteps::new(range, distribution, all);
        let mut draws = Noise::new(7).draws(0, Stream::Timestep);
        let drawn: Vec<u32> = (0..4000).map(|_| timesteps.draw(&mut draws)).collect();
        let Span { from, to } = timesteps.range;
        let mut quarters = [0; 4];
        drawn.iter().for_each(|t| quarters[((t - from) * 4 / (to - from)) as usize] += 1);
        (quarters, drawn)
    }

    #[test]
    fn without_settings_timesteps_are_drawn_as_they_always_were() {
        let mut draws = Noise::new(7).draws(0, Stream::Timestep);
        let before: Vec<u32> = (0..4000).map(|_| draws.below(1000)).collect();
        assert_eq!(quarters(None, TimestepDistribution::Uniform, 1000).1, before);
    }

    #[test]
    fn timesteps_are_those_of_the_range_whatever_their_number() {
        let range = Some(Span { from: 500, to: 900 });
        for distribution in [
            TimestepDistribution::Uniform,
            TimestepDistribution::LogitNormal,
            TimestepDistribution::Rising,
            TimestepDistribution::Falling,
        ] {
            for (all, from, to) in [(1000, 500, 900), (50, 25, 45), (1, 0, 1)] {
                let (_, drawn) = quarters(range, distribution, all);
                assert!(drawn.iter().all(|t| (from..to).contains(t)), "{distribution:?} of {all}");
                let least = drawn.iter().min().unwrap();
                assert!(*least <= from + all / 25, "{distribution:?} of {all}: {least}");
            }
        }
    }

    #[test]
    fn a_distribution_is_what_its_name_says() {
        let shares = |distribution| {
            let (quarters, _) = quarters(None, distribution, 1000);
            quarters.map(|count| f64::from(count) / 4000.0)
        };
        for (distribution, expected) in [
            (TimestepDistribution::Uniform, [0.25; 4]),
            // The normal distribution beyond the logarithm of 3, 1.0986.
            (TimestepDistribution::LogitNormal, [0.136, 0.364, 0.364, 0.136]),
            (TimestepDistribution::Rising, [0.0625, 0.1875, 0.3125, 0.4375]),
            (TimestepDistribution::Falling, [0.4375, 0.3125, 0.1875, 0.0625]),
        ] {
            let found = shares(distribution);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.025), "{distribution:?}: {found:?}");
        }
    }
}
