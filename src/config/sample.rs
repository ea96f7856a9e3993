//! How pictures are made.

use serde::{Deserialize, Serialize};

#[cfg(feature = "native")]
use super::typed;
use super::{EmptyNegative, Pooling, PromptSyntax, SamplerKind};

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
    /// Denoising steps
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().steps))]
    pub steps: u32,
    /// How closely to follow the prompt; up to 1 guidance is off, and the negative prompt with it
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "SCALE", default_value_t = Self::default().guidance))]
    pub guidance: f64,
    /// The sampling method
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().sampler))]
    pub sampler: SamplerKind,
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
    /// Whether the negative prompt is worked with too, which is what guidance leads away from: above 1, as in diffusers.
    pub fn is_guided(&self) -> bool {
        self.guidance > 1.0
    }

    /// The seed of a picture, counted from 0.
    pub fn seed_of(&self, number: u64) -> u64 {
        self.seed.wrapping_add(number)
    }

    /// The sampler as it is written in settings, with its spacing.
    pub fn sampler_and_spacing(&self) -> String {
        self.sampler.name().to_owned() + if self.karras { " karras" } else { "" }
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
            steps: 25,
            guidance: 4.0,
            sampler: SamplerKind::default(),
            karras: false,
            seed: 0,
            count: 1,
            batch_size: 4,
            width: None,
            height: None,
        }
    }
}
