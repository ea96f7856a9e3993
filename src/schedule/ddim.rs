//! DDIM without fresh noise (arXiv 2010.02502, eq. 12 with sigma = 0); upstream `scheduling_ddim.py` with `eta = 0`.
//!
//! Each step predicts the clean sample and the noise, and puts them together again at the next, lower noise level.

use burn::tensor::Tensor;

use super::config::{SchedulerConfig, TimestepSpacing};
use super::levels::spaced_timesteps;
use super::prediction::{Mix, Stepped};
use super::training::NoiseSchedule;
use crate::error::Result;
use crate::ops::Blend;

/// The coefficients of all steps.
pub(super) struct Ddim {
    steps: Vec<DdimStep>,
    clip: Option<f64>,
}

struct DdimStep {
    denoised: Mix,
    noise: Mix,
    prev_alpha: f64,
    prev_sigma: f64,
}

impl Ddim {
    /// Also returns the timesteps of the model calls.
    pub fn new(config: &SchedulerConfig, schedule: &NoiseSchedule, steps: usize) -> Result<(Vec<f32>, Self)> {
        let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Leading);
        let timesteps = spaced_timesteps(config, spacing, steps)?;
        // Upstream steps back by this for every spacing, so with `linspace` a step ends short of the next timestep.
        let stride = config.num_train_timesteps / steps;
        let to_one = config.set_alpha_to_one.unwrap_or(true);
        let final_alpha_cumprod = if to_one { 1.0 } else { schedule.alpha_cumprod(0) };
        let step = |timestep: &f64| {
            let t = timestep.round_ties_even() as usize;
            let alpha_cumprod = schedule.alpha_cumprod(t);
            let prev = t.checked_sub(stride).map_or(final_alpha_cumprod, |prev| schedule.alpha_cumprod(prev));
            let (alpha, sigma) = (alpha_cumprod.sqrt(), (1.0 - alpha_cumprod).sqrt());
            DdimStep {
                denoised: config.prediction_type.denoised(alpha, sigma),
                noise: config.prediction_type.noise(alpha, sigma),
                prev_alpha: prev.sqrt(),
                prev_sigma: (1.0 - prev).sqrt(),
            }
        };
        let steps = timesteps.iter().map(step).collect();
        let timesteps = timesteps.iter().map(|t| t.round_ties_even() as f32).collect();
        Ok((timesteps, Self { steps, clip: config.clip_sample.unwrap_or(true).then_some(config.clip_sample_range) }))
    }

    pub fn step(&self, model_output: Tensor<4>, index: usize, sample: Tensor<4>) -> Stepped {
        let step = &self.steps[index];
        let mut denoised = step.denoised.apply(&sample, &model_output);
        if let Some(range) = self.clip {
            denoised = Blend::of(&denoised.value().clamp(-range as f32, range as f32), 1.0);
        }
        // The noise is not derived again from the clipped sample: upstream's `use_clipped_model_output = False`.
        let noise = step.noise.apply(&sample, &model_output);
        let prev_sample = denoised.clone().times(step.prev_alpha).plus(noise.times(step.prev_sigma));
        Stepped { prev_sample: prev_sample.value(), denoised }
    }
}
