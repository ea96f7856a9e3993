//! Euler's method, and Euler with ancestral noise (arXiv 2206.00364, algorithm 2 without churn; ancestral steps as in
//! k-diffusion); upstream `scheduling_euler_discrete.py` and `scheduling_euler_ancestral_discrete.py`.
//!
//! The sample is kept as `clean + sigma * noise`, with the signal never scaled down, so the model's input has to be.

use burn::tensor::Tensor;

use super::config::{SchedulerConfig, TimestepSpacing};
use super::levels::{interpolate, karras_sigmas, logarithms, sigma_to_timestep, spaced_timesteps, with_final_zero};
use super::prediction::{Mix, Stepped};
use super::training::NoiseSchedule;
use crate::error::Result;
use crate::ops::Blend;

/// The coefficients of all steps.
pub(super) struct Euler {
    steps: Vec<EulerStep>,
    init_noise_sigma: f64,
}

struct EulerStep {
    input: f64,
    denoised: Mix,
    /// How much of the noise stays.
    kept: f64,
    /// How much fresh noise is added.
    fresh: f64,
}

impl Euler {
    /// Also returns the timesteps of the model calls.
    ///
    /// Upstream has no Karras spacing for the ancestral sampler; here it is the same as for the plain one.
    pub fn new(
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        steps: usize,
        karras: bool,
        ancestral: bool,
    ) -> Result<(Vec<f32>, Self)> {
        let table = schedule.sigmas();
        let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
        let spaced = spaced_timesteps(config, spacing, steps)?;
        let mut timesteps: Vec<f32> = spaced.iter().map(|t| *t as f32).collect();
        let mut sigmas: Vec<f64> = timesteps.iter().map(|t| interpolate(&table, f64::from(*t))).collect();
        if karras {
            // Between the ends that the spacing chose, unlike DPM-Solver's, which are those of training.
            sigmas = karras_sigmas(sigmas[0], sigmas[steps - 1], steps);
            let logs = logarithms(&table);
            timesteps = sigmas.iter().map(|sigma| sigma_to_timestep(*sigma, &logs) as f32).collect();
        }
        let sigmas = with_final_zero(&sigmas);
        let init_noise_sigma = match spacing {
            TimestepSpacing::Leading => deviation(sigmas[0]),
            TimestepSpacing::Trailing | TimestepSpacing::Linspace => sigmas[0],
        };
        let steps = sigmas.windows(2).map(|pair| EulerStep::new(config, pair[0], pair[1], ancestral)).collect();
        Ok((timesteps, Self { steps, init_noise_sigma }))
    }

    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    pub fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        Blend::of(&sample, self.steps[index].input).value()
    }

    pub fn step(&self, model_output: Tensor<4>, index: usize, sample: Tensor<4>, noise: Option<Tensor<4>>) -> Stepped {
        let step = &self.steps[index];
        let denoised = step.denoised.apply(&sample, &model_output);
        let mut prev_sample = Blend::of(&sample, step.kept).plus(denoised.clone().times(1.0 - step.kept));
        if step.fresh > 0.0 {
            let noise = noise.expect("a sampler whose needs_noise() is true is given noise");
            prev_sample = prev_sample.plus(Blend::of(&noise, step.fresh));
        }
        Stepped { prev_sample: prev_sample.value(), denoised }
    }
}

impl EulerStep {
    fn new(config: &SchedulerConfig, sigma: f64, sigma_to: f64, ancestral: bool) -> Self {
        // What the sample has to be multiplied by to be one of the kind that the model was trained on.
        let alpha = 1.0 / deviation(sigma);
        let trained = config.prediction_type.denoised(alpha, sigma * alpha);
        let ratio = sigma_to / sigma;
        // Ancestral: down to `sigma_to^2 / sigma` (upstream's `sigma_down`), and up again to `sigma_to` by fresh noise.
        let (kept, fresh) =
            if ancestral { (ratio * ratio, sigma_to * (1.0 - ratio * ratio).sqrt()) } else { (ratio, 0.0) };
        Self { input: alpha, denoised: Mix { sample: trained.sample * alpha, output: trained.output }, kept, fresh }
    }
}

/// The standard deviation of `clean + sigma * noise` where that of `clean` is 1.
fn deviation(sigma: f64) -> f64 {
    (sigma * sigma + 1.0).sqrt()
}
