//! Noise schedules: how much noise a timestep means in training, and how sampling walks back from noise to a picture.
//!
//! What enters is a model's `scheduler_config.json` ([`SchedulerConfig`]). From it [`NoiseSchedule`] mixes latents with
//! noise and gives the training target (DDPM, arXiv 2006.11239; upstream `scheduling_ddpm.py`), and [`Sampler`] turns
//! the U-Net's outputs into the next, less noisy sample. The samplers equal the schedulers of diffusers 0.42.1
//! (<https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/schedulers>) step by step; coefficients are
//! host numbers in f64, and a step is a few multiplications and additions of tensors.

mod config;
mod ddim;
mod dpm_solver;
mod euler;
mod levels;
mod passed_over;
mod pndm;
mod prediction;
mod read;
mod sampler;
mod training;

pub use config::{BetaSchedule, PredictionType, SchedulerConfig, TimestepSpacing};
pub use prediction::Stepped;
pub use sampler::Sampler;
pub use training::NoiseSchedule;
