//! PNDM by linear multistep alone (arXiv 2202.09778, eq. 9 and 12); upstream `scheduling_pndm.py` with
//! `skip_prk_steps = True`, the scheduler that Stable Diffusion 1.5 ships.
//!
//! Each step moves along a combination of the last four model outputs (Adams-Bashforth). There is no past at first, so
//! the first step is made twice: tried, then repeated from the same sample along the mean of both ends' outputs. Hence
//! one model call more than steps.

use burn::tensor::Tensor;

use super::config::{SchedulerConfig, TimestepSpacing};
use super::levels::spaced_timesteps;
use super::prediction::{Mix, Stepped};
use super::training::NoiseSchedule;
use crate::error::{Error, Result};
use crate::ops::Blend;

/// Weights of the last outputs, newest first, by how many there are.
const ADAMS_BASHFORTH: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// The coefficients of all model calls, and what they have to remember.
pub(super) struct Pndm {
    steps: Vec<PndmStep>,
    /// The last outputs, newest first, at most three between steps.
    outputs: Vec<Tensor<4>>,
    /// The sample that the first step started from, until that step is repeated.
    first_sample: Option<Tensor<4>>,
}

struct PndmStep {
    denoised: Mix,
    prev: Mix,
}

impl Pndm {
    /// Also returns the timesteps of the model calls.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Result<(Vec<f32>, Self)> {
        if config.skip_prk_steps == Some(false) {
            let reason = "the pndm sampler works without Runge-Kutta steps, but the model's scheduler configuration asks \
                          for them (skip_prk_steps: false): choose another sampler";
            return Err(Error::Usage(reason.to_owned()));
        }
        // Its steps divide by the signal that is left. Upstream's class has no such field, and works with the betas as they are.
        let schedule = &NoiseSchedule::new(&SchedulerConfig { rescale_betas_zero_snr: false, ..config.clone() });
        let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Leading);
        let spaced = spaced_timesteps(config, spacing, steps)?;
        let mut timesteps: Vec<usize> = spaced.iter().map(|t| t.round_ties_even() as usize).collect();
        if let Some(second) = timesteps.get(1).copied() {
            timesteps.insert(1, second);
        }
        let stride = config.num_train_timesteps / steps;
        let coefficients = |(call, t): (usize, &usize)| {
            // The repeated step starts a stride above the timestep at which its second output was computed.
            let (from, to) = if call == 1 { (t + stride, Some(*t)) } else { (*t, t.checked_sub(stride)) };
            PndmStep::new(config, schedule, *t, from, to)
        };
        let steps = timesteps.iter().enumerate().map(coefficients).collect();
        let timesteps = timesteps.iter().map(|t| *t as f32).collect();
        Ok((timesteps, Self { steps, outputs: Vec::new(), first_sample: None }))
    }

    /// Forgets what was remembered of another picture.
    pub fn begin(&mut self) {
        self.outputs.clear();
        self.first_sample = None;
    }

    pub fn step(&mut self, model_output: Tensor<4>, index: usize, sample: Tensor<4>) -> Stepped {
        let step = &self.steps[index];
        let denoised = step.denoised.apply(&sample, &model_output);
        if self.outputs.is_empty() {
            self.first_sample = Some(sample.clone());
        }
        let (start, direction) = match (self.first_sample.take(), self.outputs.first()) {
            (Some(first), Some(tried)) => (first, Blend::of(&model_output, 1.0).plus(Blend::of(tried, 1.0)).times(0.5)),
            (first, _) => {
                self.first_sample = first;
                self.outputs.truncate(3);
                self.outputs.insert(0, model_output);
                (sample, self.direction())
            }
        };
        Stepped { prev_sample: step.prev.of(&start, direction).value(), denoised }
    }

    /// The combination of the outputs so far.
    fn direction(&self) -> Blend<4> {
        let weights = ADAMS_BASHFORTH[self.outputs.len() - 1];
        let newest = Blend::of(&self.outputs[0], weights[0]);
        let older = self.outputs.iter().zip(weights).skip(1);
        older.fold(newest, |sum, (output, weight)| sum.plus(Blend::of(output, *weight)))
    }
}

impl PndmStep {
    /// For an output computed at timestep `at`, in a step between two timesteps; to `None` is beyond the first.
    fn new(config: &SchedulerConfig, schedule: &NoiseSchedule, at: usize, from: usize, to: Option<usize>) -> Self {
        let amplitudes = |alpha_cumprod: f64| (alpha_cumprod.sqrt(), (1.0 - alpha_cumprod).sqrt());
        let (alpha_at, sigma_at) = amplitudes(schedule.alpha_cumprod(at));
        let from = schedule.alpha_cumprod(from);
        let to = match to {
            Some(to) => schedule.alpha_cumprod(to),
            None if config.set_alpha_to_one.unwrap_or(false) => 1.0,
            None => schedule.alpha_cumprod(0),
        };
        let ((alpha, sigma), (alpha_to, sigma_to)) = (amplitudes(from), amplitudes(to));
        // Eq. 9: prev = (alpha_to / alpha) * sample - along * noise.
        let along = (to - from) / (from * sigma_to + alpha * sigma * alpha_to);
        let noise = config.prediction_type.noise(alpha, sigma);
        Self {
            denoised: config.prediction_type.denoised(alpha_at, sigma_at),
            prev: Mix { sample: alpha_to / alpha - along * noise.sample, output: -along * noise.output },
        }
    }
}
