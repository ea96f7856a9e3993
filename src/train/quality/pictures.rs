//! The pictures that a word is tried in: made and looked at with the frozen U-Net alone, as latents, without the decoder.

use burn::tensor::Tensor;

use super::super::learner::Learner;
use super::super::templates::fill_all;
use super::measure::Seen;
use crate::Result;
use crate::config::{EmptyNegative, Pooling, SampleConfig, SamplerKind};
use crate::noise::{Noise, Stream};
use crate::ops::Var;
use crate::sample::{decided, with_usual};
use crate::schedule::Sampler;
use crate::text::{Prompt, Rows};
use crate::unet::{Conditions, PromptKeysAndValues, TimeIds};
use crate::{layout, ops};

/// Denoising steps of a picture: what is looked at is there after few.
pub(super) const STEPS: usize = 8;
/// The timestep at which pictures are looked at, as a share of all: enough noise that the U-Net has to look, little enough that there
/// is something to see.
const LOOK_AT: f64 = 0.3;
/// Draws of noise through which a picture is looked at.
pub(super) const LOOKS: usize = 2;
/// The draws that pictures are made from come behind those.
const FIRST_NOISE: usize = 16;

/// What is tried: the words in the slots of a scene, and the rows of all embeddings.
pub(super) struct Trial {
    pub words: Vec<String>,
    pub rows: Rows,
}

/// How all pictures are made and looked at.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub noise: Noise,
    pub pooling: Pooling,
}

/// A picture on its way.
pub(super) struct Making {
    latents: Tensor<4>,
    step: usize,
    sampler: Sampler,
    /// Of the empty prompt and of the scenes' prompts.
    prompts: [PromptKeysAndValues; 2],
    guidance: f64,
}

/// The sizes that SDXL is told of pictures that are made here.
fn time_ids(learner: &Learner, [height, width]: [usize; 2]) -> TimeIds {
    let [height, width] = [height, width].map(|side| (side * learner.model.config.vae.pixels_per_latent()) as f32);
    [height, width, 0.0, 0.0, height, width]
}

impl Making {
    /// Begins pictures of `[h, w]` latents of some scenes, each with the noise of its number.
    ///
    /// # Errors
    /// Those of a schedule that cannot be walked.
    pub fn new(
        learner: &Learner,
        trial: &Trial,
        scenes: &[(usize, String)],
        size: [usize; 2],
        manner: Manner,
    ) -> Result<Self> {
        let model = &learner.model;
        let settings = decided(&with_usual(&SampleConfig::default(), &model.config), &model.config);
        // With few steps DPM++ 2M comes nearest to what many would give; no model has fewer timesteps than that.
        let mut sampler = Sampler::new(SamplerKind::Dpmpp2m, false, &model.config.scheduler, STEPS)?;
        let words: Vec<&str> = trial.words.iter().map(String::as_str).collect();
        let filled = scenes.iter().map(|(_, scene)| learner.tokenizers.prompt(&fill_all(scene, &words)));
        let prompts: Vec<Prompt> = std::iter::once(learner.tokenizers.prompt("")).chain(filled).collect();
        let rows = Var::constant(trial.rows.tensor(&model.device));
        let sizes = vec![time_ids(learner, size); prompts.len()];
        let mut given = model.conditions(&prompts, &rows, &sizes, (manner.pooling, false));
        if settings.empty_negative == Some(EmptyNegative::Zeros) {
            given = given.with_zeros_first();
        }
        let count = scenes.len();
        let halves = [given.of(0..1).repeated(count), given.of(1..1 + count)];
        let values = scenes.iter().flat_map(|(number, _)| drawn(learner, size, manner.noise, FIRST_NOISE + number));
        let latents = channels_last(learner, &values.collect::<Vec<_>>(), count, size);
        sampler.begin();
        Ok(Self {
            latents: latents * sampler.init_noise_sigma(),
            step: 0,
            sampler,
            prompts: halves.map(|given| model.unet.keys_and_values(&given)),
            guidance: settings.guidance(),
        })
    }

    /// Makes one step of denoising; the latents `[B, h, w, 4]`, scaled as the U-Net knows them, if it was the last.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn advance(&mut self, learner: &Learner) -> Result<Option<Tensor<4>>> {
        let input = self.sampler.scale_model_input(self.latents.clone(), self.step);
        let times = vec![self.sampler.timesteps()[self.step]; input.dims()[0]];
        // One after the other: no more is in memory than in a step of training.
        let [plain, conditioned] = [0, 1].map(|i| learner.model.unet.predict(&input, &times, &self.prompts[i]));
        let output = ops::guided(&plain, &conditioned, self.guidance);
        self.latents = self.sampler.step(output, self.step, self.latents.clone(), None).prev_sample;
        ops::settle(&self.latents).await?;
        self.step += 1;
        Ok((self.step == self.sampler.timesteps().len()).then(|| self.latents.clone()))
    }
}

/// What the U-Net sees of latents `[B, h, w, 4]`, told nothing about them. With weights `[h, w]` of their positions, what counts more has
/// more say in what they show.
///
/// # Errors
/// Those of the device.
pub(super) async fn look(
    learner: &Learner,
    latents: &Tensor<4>,
    weights: Option<&[f32]>,
    manner: Manner,
) -> Result<Vec<Seen>> {
    let model = &learner.model;
    let [count, height, width, channels] = latents.dims();
    let size = [height, width];
    let timestep = (model.config.scheduler.num_train_timesteps as f64 * LOOK_AT) as usize;
    let (alpha, sigma) = model.schedule.alpha_sigma(timestep);
    let rows = Var::constant(learner.rows().tensor(&model.device));
    let empty = [learner.tokenizers.prompt("")];
    let given = model.conditions(&empty, &rows, &[time_ids(learner, size)], (manner.pooling, false));
    let given: Conditions = given.repeated(count);
    let mut seen = vec![Seen::default(); count];
    for look in 0..LOOKS {
        let noise = channels_last(learner, &drawn(learner, size, manner.noise, look).repeat(count), count, size);
        let noisy = latents.clone() * alpha + noise * sigma;
        let [first, middle] = model.unet.features(&noisy, &vec![timestep as f32; count], &given);
        for (map, of) in [(first, 0), (middle, 1)] {
            let values = averaged(map, weights.filter(|_| of == 1).map(|weights| (weights, size)));
            let width = values.dims()[1];
            for (seen, values) in seen.iter_mut().zip(ops::read(values).await?.chunks(width)) {
                let into = if of == 0 { &mut seen.look } else { &mut seen.shown };
                into.resize(width, 0.0);
                into.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value) / LOOKS as f64);
            }
        }
    }
    let values = ops::read(latents.clone()).await?;
    for (seen, values) in seen.iter_mut().zip(values.chunks(height * width * channels)) {
        seen.latents = around_mean(values, channels);
    }
    Ok(seen)
}

/// A map `[B, h, w, C]` averaged over its positions, `[B, C]`; by weights `[H, W]` of finer positions, if there are any.
fn averaged(map: Tensor<4>, weights: Option<(&[f32], [usize; 2])>) -> Tensor<2> {
    let [count, height, width, channels] = map.dims();
    let map = match weights {
        Some((weights, of)) => {
            let coarse = coarser(weights, of, [height, width]);
            map.clone() * Tensor::<1>::from_floats(coarse.as_slice(), &map.device()).reshape([1, height, width, 1])
        }
        None => map,
    };
    map.reshape([count, height * width, channels]).mean_dim(1).reshape([count, channels])
}

/// Weights `[H, W]` as weights `[h, w]` of coarser positions, with a mean of 1.
fn coarser(weights: &[f32], [_, wide]: [usize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
    let high = weights.len() / wide;
    let mut sums = vec![0.0; height * width];
    for (i, weight) in weights.iter().enumerate() {
        let [row, column] = [i / wide * height / high, i % wide * width / wide];
        sums[row * width + column] += weight;
    }
    let mean = sums.iter().sum::<f32>() / sums.len() as f32;
    sums.iter().map(|sum| if mean > 0.0 { sum / mean } else { 1.0 }).collect()
}

/// Latents `[h, w, c]` without the mean of each channel.
fn around_mean(values: &[f32], channels: usize) -> Vec<f32> {
    let mut means = vec![0.0; channels];
    let positions = (values.len() / channels) as f32;
    values.iter().enumerate().for_each(|(i, value)| means[i % channels] += value / positions);
    values.iter().enumerate().map(|(i, value)| value - means[i % channels]).collect()
}

/// The draw with a number, `[c, h, w]`.
fn drawn(learner: &Learner, [height, width]: [usize; 2], noise: Noise, number: usize) -> Vec<f32> {
    let count = learner.model.config.vae.latent_channels * height * width;
    noise.draws(number as u64, Stream::Quality).normals(count)
}

/// Latents `[count, c, h, w]` as the U-Net takes them.
pub(super) fn channels_last(learner: &Learner, values: &[f32], count: usize, [h, w]: [usize; 2]) -> Tensor<4> {
    let channels = learner.model.config.vae.latent_channels;
    layout::channels_last(values, [count, channels, h, w], &learner.model.device)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_channel_has_no_mean_left() {
        assert_eq!(super::around_mean(&[1.0, 10.0, 3.0, 30.0], 2), [-1.0, -10.0, 1.0, 10.0]);
    }

    #[test]
    fn weights_become_coarser_and_keep_their_mean() {
        let weights = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 4.0];
        assert_eq!(super::coarser(&weights, [2, 4], [1, 2]), [1.0, 1.0]);
        assert_eq!(super::coarser(&weights, [2, 4], [2, 2]), [1.0, 0.0, 1.0, 2.0]);
        assert_eq!(super::coarser(&[0.0; 4], [2, 2], [1, 1]), [1.0]);
    }
}
