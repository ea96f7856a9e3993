//! DPM-Solver++ of second order, multistep (arXiv 2211.01095, algorithm 2, midpoint); upstream
//! `scheduling_dpmsolver_multistep.py` with its defaults.
//!
//! Each step predicts the clean sample, extrapolates it with the help of the step before, and moves towards it. The
//! first step has nothing before it, and the last one ends without noise, where the second order is not defined: both
//! are of first order, which is DDIM.

use burn::tensor::Tensor;

use super::config::{SchedulerConfig, TimestepSpacing};
use super::levels::{interpolate, karras_sigmas, logarithms, sigma_to_timestep, spaced_timesteps, with_final_zero};
use super::prediction::{Mix, Stepped};
use super::training::NoiseSchedule;
use crate::error::{Error, Result};
use crate::ops::Blend;
use crate::setting::Setting;

/// The coefficients of all steps, and the clean sample that the last one predicted.
pub(super) struct DpmSolver {
    steps: Vec<DpmSolverStep>,
    before: Option<Tensor<4>>,
}

struct DpmSolverStep {
    denoised: Mix,
    /// Weight of the sample.
    sample: f64,
    /// Weight of the predicted clean sample.
    towards: f64,
    /// How far to extrapolate beyond it, in differences from the one before.
    extrapolation: f64,
}

impl DpmSolver {
    /// Also returns the timesteps of the model calls.
    pub fn new(
        config: &SchedulerConfig,
        schedule: &NoiseSchedule,
        steps: usize,
        karras: bool,
    ) -> Result<(Vec<f32>, Self)> {
        let table = schedule.sigmas();
        let (timesteps, sigmas): (Vec<f64>, Vec<f64>) = if karras {
            let sigmas = karras_sigmas(f64::from(table[table.len() - 1]), f64::from(table[0]), steps);
            let logs = logarithms(&table);
            (sigmas.iter().map(|sigma| sigma_to_timestep(*sigma, &logs)).collect(), sigmas)
        } else {
            let timesteps = timesteps(config, steps)?;
            let sigmas = timesteps.iter().map(|t| interpolate(&table, t.round_ties_even())).collect();
            (timesteps, sigmas)
        };
        let sigmas = with_final_zero(&sigmas);
        let at = |index: usize| {
            let before = index.checked_sub(1).map(|before| sigmas[before]);
            DpmSolverStep::new(config, before, sigmas[index], sigmas[index + 1])
        };
        let steps = (0..steps).map(at).collect();
        let timesteps = timesteps.iter().map(|t| t.round_ties_even() as f32).collect();
        Ok((timesteps, Self { steps, before: None }))
    }

    /// Forgets what was remembered of another picture.
    pub fn begin(&mut self) {
        self.before = None;
    }

    pub fn step(&mut self, model_output: Tensor<4>, index: usize, sample: Tensor<4>) -> Stepped {
        let step = &self.steps[index];
        let denoised = step.denoised.apply(&sample, &model_output).value();
        let towards = match self.before.replace(denoised.clone()) {
            Some(before) if step.extrapolation != 0.0 => {
                Blend::of(&denoised, 1.0 + step.extrapolation).plus(Blend::of(&before, -step.extrapolation))
            }
            _ => Blend::of(&denoised, 1.0),
        };
        let prev_sample = Blend::of(&sample, step.sample).plus(towards.times(step.towards));
        Stepped { prev_sample: prev_sample.value(), denoised: Blend::of(&denoised, 1.0) }
    }
}

/// One timestep more than the steps, so that the last step does not start next to the end.
fn timesteps(config: &SchedulerConfig, steps: usize) -> Result<Vec<f64>> {
    let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
    if spacing == TimestepSpacing::Trailing {
        return spaced_timesteps(config, spacing, steps);
    }
    let train = config.num_train_timesteps;
    if steps >= train {
        // Upstream visits a timestep twice then, and divides zero by zero.
        let most = train - 1;
        let rule = format!("at most {most} for the sampler dpmpp2m with this model");
        return Err(Error::OutOfRange { setting: Setting::Steps, given: steps.to_string(), rule });
    }
    let mut timesteps = spaced_timesteps(config, spacing, steps + 1)?;
    timesteps.truncate(steps);
    Ok(timesteps)
}

impl DpmSolverStep {
    /// From `sigma` to `sigma_to`, where the step before came from `before`.
    fn new(config: &SchedulerConfig, before: Option<f64>, sigma: f64, sigma_to: f64) -> Self {
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        let alpha_to = 1.0 / (sigma_to * sigma_to + 1.0).sqrt();
        // alpha_to * (1 - exp(-h)), where h is the step in log(alpha / sigma) and exp(-h) the ratio of sigmas.
        let towards = alpha_to * (1.0 - sigma_to / sigma);
        let extrapolation = match before {
            Some(before) if sigma_to > 0.0 => 0.5 * libm::log(sigma / sigma_to) / libm::log(before / sigma),
            _ => 0.0,
        };
        Self {
            denoised: config.prediction_type.denoised(alpha, sigma * alpha),
            sample: (sigma_to * alpha_to) / (sigma * alpha),
            towards,
            extrapolation,
        }
    }
}
