//! The diffusion loss.

use std::ops::Range;
use std::rc::Rc;

use burn::tensor::Tensor;

use super::sample::Sample;
use crate::config::{Pooling, TrainConfig};
use crate::layout;
use crate::model::Model;
use crate::ops::{Var, mse};
use crate::schedule::NoiseSchedule;
use crate::text::Prompt;
use crate::unet::{Conditions, TimeIds};

/// Mean squared error of the U-Net's prediction for noised latents.
pub(super) struct DiffusionLoss {
    model: Rc<Model>,
    snr_gamma: Option<f64>,
    pooling: Pooling,
    recompute: bool,
}

impl DiffusionLoss {
    /// With `snr_gamma` each sample is weighted (arXiv 2303.09556); with `recompute` blocks are computed again in the
    /// backward pass instead of being remembered.
    pub fn new(model: Rc<Model>, config: &TrainConfig, recompute: bool) -> Self {
        Self { model, snr_gamma: config.snr_gamma, pooling: config.pooling, recompute }
    }

    /// Whether blocks are computed again in the backward pass.
    pub fn recomputes(&self) -> bool {
        self.recompute
    }

    /// The loss of some samples, whose captions are `prompts`, `[1]`: the mean over all samples, channels and
    /// positions, each multiplied by its weight.
    pub fn of(&self, samples: &[Sample], prompts: &[Prompt], rows: &Var<2>) -> Var<1> {
        let (prediction, target) = self.prediction(samples, prompts, rows);
        mse(&prediction, target, self.weights(samples))
    }

    /// The sum of the losses of several jobs in one pass, `[1]`, where `samples` are theirs, one job's behind another's; and for
    /// each sample its part of the loss of its job, `[B]`.
    pub fn of_several(
        jobs: &[(&Self, Range<usize>)],
        samples: &[Sample],
        prompts: &[Prompt],
        rows: &Var<2>,
    ) -> (Var<1>, Tensor<1>) {
        let (first, device) = (jobs[0].0, &jobs[0].0.model.device);
        let (prediction, target) = first.prediction(samples, prompts, rows);
        let by_position = samples.iter().any(|sample| sample.weights.is_some());
        let [height, width] = if by_position { samples[0].size } else { [1, 1] };
        // The mean over the samples of one job, by way of that over those of all.
        let of_job = |(loss, own): &(&Self, Range<usize>)| {
            let times = samples.len() as f32 / own.len() as f32;
            loss.weights_in(&samples[own.clone()], height * width).into_iter().map(move |weight| weight * times)
        };
        let values: Vec<f32> = jobs.iter().flat_map(of_job).collect();
        let shape = [samples.len(), height, width, 1];
        let weights = Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape);
        let each = means(prediction.value().clone(), target.clone(), Some(weights.clone()));
        (mse(&prediction, target, Some(weights)), each.div_scalar(samples.len() as f32))
    }

    /// Whether its samples can be in one pass with those of another.
    pub fn agrees(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.model, &other.model) && self.pooling == other.pooling && self.recompute == other.recompute
    }

    /// The mean squared error of each of some samples, `[B]`, without weights.
    pub fn each(&self, samples: &[Sample], prompts: &[Prompt], rows: &Var<2>) -> Tensor<1> {
        let (prediction, target) = self.prediction(samples, prompts, rows);
        means(prediction.into_value(), target, None)
    }

    /// How much the positions of some samples look at some of their prompts' tokens ([`Unet::attended`](crate::unet::Unet::attended)):
    /// those for which `words` `[B, T]` is 1, not 0.
    pub fn attended(
        &self,
        samples: &[Sample],
        prompts: &[Prompt],
        rows: &Var<2>,
        words: Tensor<2>,
    ) -> Option<Tensor<3>> {
        let (noised, _) = self.noised(samples);
        let (times, given) = self.told(samples, prompts, rows);
        self.model.unet.attended(&noised, &times, &given, words)
    }

    /// What the U-Net makes of some samples, and what it should, both `[B, h, w, 4]`.
    fn prediction(&self, samples: &[Sample], prompts: &[Prompt], rows: &Var<2>) -> (Var<4>, Tensor<4>) {
        let (noised, target) = self.noised(samples);
        let (times, given) = self.told(samples, prompts, rows);
        (self.model.unet.forward(&noised, &times, &given, self.recompute), target)
    }

    /// Some samples with their noise, and what is to be found in them.
    fn noised(&self, samples: &[Sample]) -> (Tensor<4>, Tensor<4>) {
        let model = &self.model;
        let [height, width] = samples[0].size;
        let shape = [samples.len(), model.config.vae.latent_channels, height, width];
        let gather = |made: fn(&NoiseSchedule, &[f32], &[f32], usize) -> Vec<f32>| {
            let of = |sample: &Sample| made(&model.schedule, &sample.latents, &sample.noise, sample.timestep);
            let values: Vec<f32> = samples.iter().flat_map(of).collect();
            layout::channels_last(&values, shape, &model.device)
        };
        (gather(NoiseSchedule::add_noise), gather(NoiseSchedule::target))
    }

    /// The timesteps of some samples, and what the U-Net is told of them.
    fn told(&self, samples: &[Sample], prompts: &[Prompt], rows: &Var<2>) -> (Vec<f32>, Conditions) {
        let time_ids: Vec<TimeIds> = samples.iter().map(|sample| sample.time_ids).collect();
        let given = self.model.conditions(prompts, rows, &time_ids, (self.pooling, self.recompute));
        (samples.iter().map(|sample| sample.timestep as f32).collect(), given)
    }

    /// The weights of the squared errors, `[B, 1, 1, 1]` or, if a sample is weighted by position, `[B, h, w, 1]`; none
    /// if all are 1.
    fn weights(&self, samples: &[Sample]) -> Option<Tensor<4>> {
        let by_position = samples.iter().any(|sample| sample.weights.is_some());
        if self.snr_gamma.is_none() && !by_position {
            return None;
        }
        let [height, width] = if by_position { samples[0].size } else { [1, 1] };
        let values = self.weights_in(samples, height * width);
        let shape = [samples.len(), height, width, 1];
        Some(Tensor::<1>::from_floats(values.as_slice(), &self.model.device).reshape(shape))
    }

    /// The weights of the squared errors of some samples, in so many places of each.
    fn weights_in(&self, samples: &[Sample], places: usize) -> Vec<f32> {
        let timesteps: Vec<usize> = samples.iter().map(|sample| sample.timestep).collect();
        let by_sample = self.model.schedule.loss_weights(&timesteps, self.snr_gamma);
        let of_sample = |(sample, weight): (&Sample, f32)| match &sample.weights {
            Some(weights) => weights.iter().map(|by_position| by_position * weight).collect(),
            None => vec![weight; places],
        };
        samples.iter().zip(by_sample).flat_map(of_sample).collect()
    }
}

/// The mean of the squared errors of each sample, `[B]`, each multiplied by its weight, if it has one.
fn means(prediction: Tensor<4>, target: Tensor<4>, weights: Option<Tensor<4>>) -> Tensor<1> {
    let difference = prediction - target;
    let [count, height, width, channels] = difference.dims();
    let squares = difference.clone() * difference;
    let squares = weights.map_or_else(|| squares.clone(), |weights| squares.clone() * weights);
    squares.reshape([count, height * width * channels]).mean_dim(1).reshape([count])
}
