//! The walk from noise to a picture, by any method.
//!
//! Enters: the U-Net's output for the current sample. Leaves: the next sample, and the clean sample that the output
//! predicts, a free preview. The loop around it:
//!
//! ```text
//! begin()
//! sample = normal noise * init_noise_sigma
//! for (index, timestep) in timesteps:
//!     output = unet(scale_model_input(sample, index), timestep, context)
//!     sample = step(output, index, sample, noise if needs_noise).prev_sample
//! ```

use burn::tensor::Tensor;

use super::config::SchedulerConfig;
use super::ddim::Ddim;
use super::dpm_solver::DpmSolver;
use super::euler::Euler;
use super::pndm::Pndm;
use super::prediction::Stepped;
use super::training::NoiseSchedule;
use crate::config::SamplerKind;
use crate::error::{Error, Result};
use crate::setting::Setting;

/// A sampling method made ready for one model and one number of steps.
pub struct Sampler {
    kind: SamplerKind,
    timesteps: Vec<f32>,
    solver: Solver,
}

enum Solver {
    Ddim(Ddim),
    Pndm(Pndm),
    Euler(Euler),
    DpmSolver(DpmSolver),
}

impl Sampler {
    /// Plans `steps` steps, with Karras's noise levels if `karras`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for zero steps or more than the model has timesteps, [`Error::Usage`] for Karras's noise
    /// levels with a sampler that cannot have them.
    pub fn new(kind: SamplerKind, karras: bool, config: &SchedulerConfig, steps: usize) -> Result<Self> {
        let train = config.num_train_timesteps;
        if !(1..=train).contains(&steps) {
            let rule = format!("from 1 to {train} for this model");
            return Err(Error::OutOfRange { setting: Setting::Steps, given: steps.to_string(), rule });
        }
        if karras && !kind.takes_karras() {
            let able: Vec<&str> =
                SamplerKind::ALL.into_iter().filter(|kind| kind.takes_karras()).map(SamplerKind::name).collect();
            let reason = format!("{} needs one of these: {} {}", Setting::Karras, Setting::Sampler, able.join(", "));
            return Err(Error::Usage(reason));
        }
        let schedule = NoiseSchedule::new(config);
        let (timesteps, solver) = match kind {
            SamplerKind::Ddim => Ddim::new(config, &schedule, steps).map(planned(Solver::Ddim)),
            SamplerKind::Pndm => Pndm::new(config, steps).map(planned(Solver::Pndm)),
            SamplerKind::Euler => Euler::new(config, &schedule, steps, karras, false).map(planned(Solver::Euler)),
            SamplerKind::EulerAncestral => {
                Euler::new(config, &schedule, steps, karras, true).map(planned(Solver::Euler))
            }
            SamplerKind::Dpmpp2m => DpmSolver::new(config, &schedule, steps, karras).map(planned(Solver::DpmSolver)),
        }?;
        Ok(Self { kind, timesteps, solver })
    }

    /// The timestep of each model call, in order. PNDM has one call more than steps; Euler's may be fractional.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The standard deviation of the noise to start from.
    pub fn init_noise_sigma(&self) -> f32 {
        match &self.solver {
            Solver::Euler(euler) => euler.init_noise_sigma() as f32,
            Solver::Ddim(_) | Solver::Pndm(_) | Solver::DpmSolver(_) => 1.0,
        }
    }

    /// Brings a sample to the scale that the U-Net was trained on.
    pub fn scale_model_input(&self, sample: Tensor<4>, index: usize) -> Tensor<4> {
        match &self.solver {
            Solver::Euler(euler) => euler.scale_model_input(sample, index),
            Solver::Ddim(_) | Solver::Pndm(_) | Solver::DpmSolver(_) => sample,
        }
    }

    /// Whether [`step`](Self::step) wants fresh noise.
    pub fn needs_noise(&self) -> bool {
        self.kind.needs_noise()
    }

    /// Starts another batch of pictures: what a method remembered of the one before is forgotten.
    pub fn begin(&mut self) {
        match &mut self.solver {
            Solver::Pndm(pndm) => pndm.begin(),
            Solver::DpmSolver(solver) => solver.begin(),
            // Each step is made from the sample alone.
            Solver::Ddim(_) | Solver::Euler(_) => {}
        }
    }

    /// Makes the step of model call `index`. The calls of one batch go in order from 0, after [`begin`](Self::begin).
    ///
    /// # Panics
    /// If there is no such call, or if `noise` is missing where [`needs_noise`](Self::needs_noise) asked for it.
    pub fn step(
        &mut self,
        model_output: Tensor<4>,
        index: usize,
        sample: Tensor<4>,
        noise: Option<Tensor<4>>,
    ) -> Stepped {
        match &mut self.solver {
            Solver::Ddim(ddim) => ddim.step(model_output, index, sample),
            Solver::Pndm(pndm) => pndm.step(model_output, index, sample),
            Solver::Euler(euler) => euler.step(model_output, index, sample, noise),
            Solver::DpmSolver(solver) => solver.step(model_output, index, sample),
        }
    }
}

/// Wraps a solver beside its timesteps.
fn planned<T>(wrap: fn(T) -> Solver) -> impl Fn((Vec<f32>, T)) -> (Vec<f32>, Solver) {
    move |(timesteps, solver)| (timesteps, wrap(solver))
}

#[cfg(test)]
mod tests;
