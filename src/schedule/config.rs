//! `scheduler_config.json`: what a model says about its noise.
//!
//! Names are those of diffusers. Of the fields that it has and we do not use, those that would change the result are
//! reported ([`SchedulerConfig::not_obeyed`]). Where a field is absent, its value
//! is the default of the diffusers class concerned. The classes agree on nearly everything (SD 1.5's is
//! `PNDMScheduler`); where they do not, the field is an `Option`, and each sampler fills in its own class's default.
//! That is what upstream's `from_config` does when one scheduler is made from another's file: values that the file does
//! not state are not handed over (`configuration_utils.py`, `_use_default_values`).

use serde::Deserialize;

use super::passed_over::PassedOver;
use crate::parts::Architecture;

/// How `beta` grows from `beta_start` to `beta_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Evenly.
    Linear,
    /// Evenly in the square root: the latent diffusion models.
    ScaledLinear,
}

/// What the U-Net's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the sample.
    Epsilon,
    /// The velocity `alpha * noise - sigma * latents` (arXiv 2202.00512).
    VPrediction,
}

/// How sampling picks its timesteps from those of training (arXiv 2305.08891, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Even, from the first timestep.
    Leading,
    /// Even, from the last timestep.
    Trailing,
    /// Even, with both ends.
    Linspace,
}

impl TimestepSpacing {
    /// As files call it.
    pub fn name(self) -> &'static str {
        match self {
            TimestepSpacing::Leading => "leading",
            TimestepSpacing::Trailing => "trailing",
            TimestepSpacing::Linspace => "linspace",
        }
    }
}

/// A model's noise schedule, and how its samplers are meant to walk it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// The class that wrote the file, for refusing schedules of another kind.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    /// Timesteps in training.
    pub num_train_timesteps: usize,
    /// Noise added at the first timestep.
    pub beta_start: f64,
    /// Noise added at the last timestep.
    pub beta_end: f64,
    /// How `beta` grows in between.
    pub beta_schedule: BetaSchedule,
    /// All betas, instead of the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// What the U-Net's output means.
    pub prediction_type: PredictionType,
    /// How sampling picks its timesteps; absent: `leading` for DDIM and PNDM, `linspace` for the others.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to each timestep of `leading` spacing.
    pub steps_offset: usize,
    /// Whether the last step of DDIM or PNDM goes to no noise at all instead of the noise of timestep 0;
    /// absent: yes for DDIM, no for PNDM.
    pub set_alpha_to_one: Option<bool>,
    /// Whether PNDM starts without Runge-Kutta steps. Only without is implemented, and an explicit `false` makes that
    /// sampler an error; absent is taken as `true`, unlike upstream, since every Stable Diffusion model says so.
    pub skip_prk_steps: Option<bool>,
    /// Whether DDIM clips the predicted clean sample; absent: yes.
    pub clip_sample: Option<bool>,
    /// To which magnitude.
    pub clip_sample_range: f64,
    /// Dynamic thresholding: refused, it is for models of pixels.
    pub thresholding: bool,
    /// Zero terminal SNR (arXiv 2305.08891): nothing is left of the signal at the last timestep, which takes a model that
    /// predicts velocities.
    pub rescale_betas_zero_snr: bool,
    /// Whether samplers that can have Karras's noise levels should.
    pub use_karras_sigmas: bool,
    /// Fields that ask samplers for something that is not done here.
    #[serde(skip)]
    pub(super) others: PassedOver,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            class_name: None,
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            prediction_type: PredictionType::Epsilon,
            timestep_spacing: None,
            steps_offset: 0,
            set_alpha_to_one: None,
            skip_prk_steps: None,
            clip_sample: None,
            clip_sample_range: 1.0,
            thresholding: false,
            rescale_betas_zero_snr: false,
            use_karras_sigmas: false,
            others: PassedOver::default(),
        }
    }
}

impl SchedulerConfig {
    /// Corrects what `StableDiffusionPipeline` corrects in outdated files (its `__init__`): timesteps are offset by one
    /// and nothing is clipped, since latents are not bounded. Upstream obeys the files of SDXL; but what they do not say is not
    /// clipped here, where upstream's DDIM would.
    #[must_use]
    pub fn corrected_for(mut self, architecture: Architecture) -> Self {
        match architecture {
            Architecture::Sd => (self.steps_offset, self.clip_sample) = (1, Some(false)),
            Architecture::Sdxl => self.clip_sample = Some(self.clip_sample.unwrap_or(false)),
        }
        self
    }
}
