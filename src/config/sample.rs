//! How pictures are made.

use serde::{Deserialize, Serialize};

#[cfg(feature = "native")]
use super::typed;
use super::usual::UsualSampling;
use super::{EmptyNegative, Pooling, PromptSyntax, SamplerKind};
use crate::embedding::ModelFamily;

/// How pictures are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::Args))]
#[serde(default, rename_all = "kebab-case")]
pub struct SampleConfig {
    /// What the picture should not show
    #[cfg_attr(feature = "native", arg(long, value_name = "PROMPT", default_value = "", hide_default_value = true))]
    pub negative_prompt: String,
    /// The language that prompts are written in
    #[cfg_attr(feature = "native", arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Self::default().prompt_syntax))]
    pub prompt_syntax: PromptSyntax,
    /// From which layer of the text encoder prompts are taken, counted from the last, which is 1 (Stable Diffusion 1.x)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().clip_skip))]
    pub clip_skip: u32,
    /// What stands for a negative prompt that is empty (SDXL) [default: what the model's files say]
    #[cfg_attr(feature = "native", arg(long, value_enum))]
    pub empty_negative: Option<EmptyNegative>,
    /// Which token stands for the whole prompt (SDXL)
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().pooling))]
    pub pooling: Pooling,
    /// Denoising steps; none: as is usual for the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", help = help::steps()))]
    pub steps: Option<u32>,
    /// How closely to follow the prompt; up to 1 guidance is off, and the negative prompt with it; none: as is usual for the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "SCALE", help = help::guidance()))]
    pub guidance: Option<f64>,
    /// The sampling method; none: the model's own
    #[cfg_attr(feature = "native", arg(long, value_enum, help = help::sampler()))]
    pub sampler: Option<SamplerKind>,
    /// Karras spacing of the noise levels (Euler samplers and DPM++ 2M)
    #[cfg_attr(feature = "native", arg(long))]
    pub karras: bool,
    /// Seed of the noise; -1 draws one
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::any_seed, value_name = "N", default_value_t = Self::default().seed))]
    pub seed: u64,
    /// How many pictures to make, with seeds counting up
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().count))]
    pub count: u32,
    /// Pictures denoised together
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "B", default_value_t = Self::default().batch_size))]
    pub batch_size: u32,
    /// Width in pixels [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "PIXELS"))]
    pub width: Option<u32>,
    /// Height in pixels [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "PIXELS"))]
    pub height: Option<u32>,
}

impl SampleConfig {
    /// What is usual where no model has decided ([`decided`](crate::sample::decided)): for models of unknown families.
    const USUAL: UsualSampling = ModelFamily::Sd1.sampling();

    /// Denoising steps, once a model has decided.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(Self::USUAL.steps)
    }

    /// The guidance, once a model has decided.
    pub fn guidance(&self) -> f64 {
        self.guidance.unwrap_or(Self::USUAL.guidance)
    }

    /// The sampling method, once a model has decided.
    pub fn sampler(&self) -> SamplerKind {
        self.sampler.unwrap_or(Self::USUAL.sampler)
    }

    /// Whether the negative prompt is worked with too, which is what guidance leads away from: above 1, as in diffusers.
    pub fn is_guided(&self) -> bool {
        self.guidance() > 1.0
    }

    /// The seed of a picture, counted from 0.
    pub fn seed_of(&self, number: u64) -> u64 {
        self.seed.wrapping_add(number)
    }

    /// The sampler as it is written in settings, with its spacing.
    pub fn sampler_and_spacing(&self) -> String {
        self.sampler().name().to_owned() + if self.karras { " karras" } else { "" }
    }
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            negative_prompt: String::new(),
            prompt_syntax: PromptSyntax::default(),
            clip_skip: 1,
            empty_negative: None,
            pooling: Pooling::default(),
            steps: None,
            guidance: None,
            sampler: None,
            karras: false,
            seed: 0,
            count: 1,
            batch_size: 4,
            width: None,
            height: None,
        }
    }
}

/// The help of settings whose default is that of the model.
#[cfg(feature = "native")]
mod help {
    use crate::config::usual::of_each;

    pub fn steps() -> String {
        format!("Denoising steps [default: {}]", of_each(|family| family.sampling().steps.to_string()))
    }

    pub fn guidance() -> String {
        let usual = of_each(|family| family.sampling().guidance.to_string());
        format!(
            "How closely to follow the prompt; up to 1 guidance is off, and the negative prompt with it [default: {usual}]"
        )
    }

    pub fn sampler() -> String {
        let usual = of_each(|family| family.sampling().sampler.name().to_owned());
        format!("The sampling method [default: the one in the model's files; otherwise {usual}]")
    }
}
