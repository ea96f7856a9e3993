//! Which noise levels a sampler visits, and at which timesteps.
//!
//! Enters: the training schedule and a number of steps. Leaves: timesteps from the noisiest down, and for the samplers
//! that count in noise-to-signal ratios the sigmas at these timesteps, or Karras's (arXiv 2206.00364, eq. 5) with the
//! timesteps found from them. Upstream: `set_timesteps`, `_convert_to_karras` and `_sigma_to_t` of the schedulers, with
//! the roundings of NumPy, since a timestep that rounds the other way is another picture.

use super::config::{SchedulerConfig, TimestepSpacing};
use crate::error::{Error, Result};

/// The exponent of Karras's spacing; 7 in the paper.
const RHO: f64 = 7.0;

/// Timesteps from the noisiest down, of which `linspace` ones may be fractional.
///
/// # Errors
/// [`Error::Usage`] if the first would lie beyond the training schedule: as many steps as timesteps, and an offset.
pub(super) fn spaced_timesteps(config: &SchedulerConfig, spacing: TimestepSpacing, steps: usize) -> Result<Vec<f64>> {
    let train = config.num_train_timesteps;
    let timesteps: Vec<f64> = match spacing {
        TimestepSpacing::Leading => {
            let stride = train / steps;
            (0..steps).rev().map(|i| (i * stride + config.steps_offset) as f64).collect()
        }
        TimestepSpacing::Trailing => {
            // np.arange(train, 0, -train / steps): it derives its stride from its first two values. For some numbers of
            // steps (61 is the first of 1000) a rounding makes upstream's range one longer, with a last timestep of -1;
            // ours always has as many as asked for.
            let train = train as f64;
            let stride = (train - train / steps as f64) - train;
            (0..steps).map(|i| (train + i as f64 * stride).round_ties_even() - 1.0).collect()
        }
        TimestepSpacing::Linspace => {
            let last = (train - 1) as f64;
            let stride = if steps > 1 { last / (steps - 1) as f64 } else { 0.0 };
            let at = |i: usize| if i > 0 && i + 1 == steps { last } else { i as f64 * stride };
            (0..steps).rev().map(at).collect()
        }
    };
    match timesteps.first() {
        Some(first) if *first >= train as f64 => Err(Error::Usage(format!(
            "with steps_offset {}, this many steps would start beyond the model's {train} timesteps: use fewer steps",
            config.steps_offset
        ))),
        _ => Ok(timesteps),
    }
}

/// The sigma at a timestep between those of the table (`np.interp`).
pub(super) fn interpolate(sigmas: &[f32], timestep: f64) -> f64 {
    let below = timestep as usize;
    let at = |i: usize| f64::from(sigmas[i.min(sigmas.len() - 1)]);
    at(below) + (at(below + 1) - at(below)) * (timestep - below as f64)
}

/// Sigmas from `max` down to `min`, evenly spaced in their seventh root.
pub(super) fn karras_sigmas(max: f64, min: f64, steps: usize) -> Vec<f64> {
    let (max_root, min_root) = (libm::pow(max, 1.0 / RHO), libm::pow(min, 1.0 / RHO));
    let stride = if steps > 1 { 1.0 / (steps - 1) as f64 } else { 0.0 };
    let at = |i: usize| {
        let ramp = if i > 0 && i + 1 == steps { 1.0 } else { i as f64 * stride };
        libm::pow(max_root + ramp * (min_root - max_root), RHO)
    };
    (0..steps).map(at).collect()
}

/// The fractional timestep at which the schedule has this sigma, by interpolation in the logarithms of its sigmas.
pub(super) fn sigma_to_timestep(sigma: f64, log_sigmas: &[f32]) -> f64 {
    if log_sigmas.len() < 2 {
        return 0.0;
    }
    let log_sigma = libm::log(sigma);
    let not_above = log_sigmas.iter().rposition(|other| log_sigma >= f64::from(*other));
    let low = not_above.unwrap_or(0).min(log_sigmas.len() - 2);
    let span = f64::from(log_sigmas[low] - log_sigmas[low + 1]);
    let weight = ((f64::from(log_sigmas[low]) - log_sigma) / span).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * (low + 1) as f64
}

/// The logarithms of a table of sigmas, in f32 like the table.
pub(super) fn logarithms(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|sigma| libm::log(f64::from(*sigma)) as f32).collect()
}

/// The sigmas of a sampler as it uses them: rounded to f32 as upstream keeps them, and a last one of zero.
pub(super) fn with_final_zero(sigmas: &[f64]) -> Vec<f64> {
    sigmas.iter().map(|sigma| f64::from(*sigma as f32)).chain([0.0]).collect()
}
