//! What a user can set, with the one source of defaults for the terminal, the page and the library.
//!
//! The structs are plain serde data; with the `native` feature they are clap arguments too, whose defaults and help texts
//! come from the same constants and comments.

use serde::{Deserialize, Serialize};

/// Every default, named once. Which ones were measured, and how, is in the README ("What was measured").
pub mod defaults {
    /// Vectors for each token.
    pub const VECTORS: u32 = 2;
    /// Optimiser steps.
    pub const STEPS: u32 = 300;
    /// Pictures in a forward pass.
    pub const BATCH_SIZE: u32 = 4;
    /// Peak learning rate of the AdamW recipe.
    pub const ADAMW_LR: f64 = 1e-2;
    /// Peak learning rate of the direction-only recipe: the tangent of the angle of each step.
    pub const DIRECTION_LR: f64 = 1e-1;
    /// Seed of every random choice.
    pub const SEED: u64 = 0;
    /// Denoising steps of a generation.
    pub const SAMPLE_STEPS: u32 = 25;
    /// Classifier-free guidance scale.
    pub const GUIDANCE: f64 = 4.0;
    /// Samples in the fixed evaluation batch.
    pub const EVAL_SIZE: u32 = 16;
}

/// What the new word names: decides the captions it is learned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A thing: "a photo of S*".
    #[default]
    Object,
    /// A manner: "a painting in the style of S*".
    Style,
}

/// How the vector is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// AdamW on the vector, as in the Textual Inversion paper's code and diffusers.
    #[default]
    Adamw,
    /// Direction-only optimisation (DTI, arXiv 2512.13672): the norm is fixed, the direction moves on the sphere.
    Direction,
}

/// What to do when training runs away: losses that are not numbers, vectors of absurd length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum OnDivergence {
    /// End the run with the last good vector.
    #[default]
    Stop,
    /// Go back to the last good vector and go on at half the learning rate, five times at most.
    Rewind,
}

/// How the learning rate changes over a run. Names as in diffusers' `get_scheduler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// The same rate throughout.
    Constant,
    /// Falls linearly to zero.
    Linear,
    /// Falls to zero along half a cosine.
    #[default]
    Cosine,
}

/// How a picture that is not square becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Cut the largest square from the centre.
    #[default]
    Crop,
    /// Keep the whole picture and pad it to a square with white.
    Fit,
}

/// Whether blocks are recomputed in the backward pass instead of being remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Checkpointing {
    /// On where remembering everything would take more than half a gigabyte.
    #[default]
    Auto,
    /// Keep only the inputs of each block: least memory, about a third more work.
    On,
    /// Keep everything: fastest.
    Off,
}

/// The method that turns noise into a picture. Names as the scheduler classes of diffusers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// DDIM (arXiv 2010.02502).
    #[default]
    Ddim,
    /// PNDM without Runge-Kutta warm-up, what Stable Diffusion 1.5 ships (arXiv 2202.09778).
    Pndm,
    /// Euler (arXiv 2206.00364, algorithm 2).
    Euler,
    /// Euler with fresh noise in each step.
    EulerAncestral,
    /// DPM-Solver++ of second order, multistep (arXiv 2211.01095).
    Dpmpp2m,
}

/// How a word is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::Args))]
#[serde(default, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The new word, as it will be written in prompts
    #[cfg_attr(feature = "native", arg(long, value_name = "TOKEN", help_heading = "The word"))]
    pub token: String,
    /// A word or phrase to start from: what the pictures show, in words the model knows; or an embedding file
    #[cfg_attr(feature = "native", arg(long, value_name = "WORDS|FILE", help_heading = "The word"))]
    pub init: Option<String>,
    /// Vectors that the token stands for
    #[cfg_attr(feature = "native", arg(long, value_name = "K", default_value_t = defaults::VECTORS, help_heading = "The word"))]
    pub vectors: u32,
    /// Whether the word names a thing or a style
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Kind::default(), help_heading = "The word"))]
    pub kind: Kind,

    /// Optimiser steps
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = defaults::STEPS, help_heading = "Training"))]
    pub steps: u32,
    /// How the vector is moved
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Recipe::default(), help_heading = "Training"))]
    pub recipe: Recipe,
    /// Peak learning rate [default: 0.01 for adamw, 0.1 for direction]
    #[cfg_attr(feature = "native", arg(long, value_name = "RATE", help_heading = "Training"))]
    pub lr: Option<f64>,
    /// How the learning rate changes
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = LrSchedule::default(), help_heading = "Training"))]
    pub lr_schedule: LrSchedule,
    /// Steps over which the learning rate rises to its peak
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 0, help_heading = "Training"))]
    pub warmup: u32,
    /// Samples in a forward pass
    #[cfg_attr(feature = "native", arg(long, value_name = "B", default_value_t = defaults::BATCH_SIZE, help_heading = "Training"))]
    pub batch_size: u32,
    /// Forward passes in an optimiser step
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 1, help_heading = "Training"))]
    pub gradient_accumulation: u32,
    /// AdamW: decay of the gradient's mean; direction: decay of its squared norm (0 = every step has the same angle)
    #[cfg_attr(feature = "native", arg(long, value_name = "X", help_heading = "Training"))]
    pub beta1: Option<f64>,
    /// AdamW: decay of the gradient's square
    #[cfg_attr(feature = "native", arg(long, value_name = "X", default_value_t = 0.999, help_heading = "Training"))]
    pub beta2: f64,
    /// AdamW: added to the root of the square
    #[cfg_attr(feature = "native", arg(long, value_name = "X", default_value_t = 1e-8, help_heading = "Training"))]
    pub eps: f64,
    /// AdamW: decoupled weight decay
    #[cfg_attr(feature = "native", arg(long, value_name = "X", default_value_t = 0.0, help_heading = "Training"))]
    pub weight_decay: f64,
    /// Direction: pull back towards the initialiser (kappa of the von Mises-Fisher prior)
    #[cfg_attr(feature = "native", arg(long, value_name = "X", default_value_t = 1e-4, help_heading = "Training"))]
    pub kappa: f64,
    /// Weight the loss by min(SNR, gamma)/SNR (arXiv 2303.09556)
    #[cfg_attr(feature = "native", arg(long, value_name = "GAMMA", help_heading = "Training"))]
    pub snr_gamma: Option<f64>,
    /// Seed of every random choice
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = defaults::SEED, help_heading = "Training"))]
    pub seed: u64,
    /// What to do when training runs away: losses that are no numbers, vectors of absurd length
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = OnDivergence::default(), help_heading = "Training"))]
    pub on_divergence: OnDivergence,
    /// Recompute blocks in the backward pass to save memory
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Checkpointing::default(), help_heading = "Training"))]
    pub checkpointing: Checkpointing,

    /// How pictures that are not square become so
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Framing::default(), help_heading = "Pictures and captions"))]
    pub framing: Framing,
    /// Side in pixels to train at [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_name = "PIXELS", help_heading = "Pictures and captions"))]
    pub resolution: Option<u32>,
    /// Do not show pictures mirrored
    #[cfg_attr(feature = "native", arg(long, help_heading = "Pictures and captions"))]
    pub no_flip: bool,

    /// Evaluate on the fixed batch every N steps (0 = only at the start and the end)
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 25, help_heading = "Progress"))]
    pub eval_every: u32,
    /// Samples in the fixed evaluation batch
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = defaults::EVAL_SIZE, help_heading = "Progress"))]
    pub eval_size: u32,
    /// Stop when the evaluation loss has settled (DVAR, arXiv 2302.04841); evaluates after every step
    #[cfg_attr(feature = "native", arg(long, help_heading = "Progress"))]
    pub early_stop: bool,
    /// Early stopping: evaluations in the window
    #[cfg_attr(feature = "native", arg(long, value_name = "W", default_value_t = 310, help_heading = "Progress"))]
    pub early_stop_window: u32,
    /// Early stopping: stop when var(window)/var(all) is below this
    #[cfg_attr(feature = "native", arg(long, value_name = "X", default_value_t = 0.15, help_heading = "Progress"))]
    pub early_stop_threshold: f64,
    /// Make a preview picture every N steps, and before the first (0 = none)
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 100, help_heading = "Progress"))]
    pub preview_every: u32,
    /// Prompt of the previews [default: made from the kind and the token]
    #[cfg_attr(feature = "native", arg(long, value_name = "PROMPT", help_heading = "Progress"))]
    pub preview_prompt: Option<String>,
    /// Save the vector every N steps (0 = only at the end)
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 50, help_heading = "Progress"))]
    pub save_every: u32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            token: String::new(),
            init: None,
            vectors: defaults::VECTORS,
            kind: Kind::default(),
            steps: defaults::STEPS,
            recipe: Recipe::default(),
            lr: None,
            lr_schedule: LrSchedule::default(),
            warmup: 0,
            batch_size: defaults::BATCH_SIZE,
            gradient_accumulation: 1,
            beta1: None,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            kappa: 1e-4,
            snr_gamma: None,
            seed: defaults::SEED,
            on_divergence: OnDivergence::default(),
            checkpointing: Checkpointing::default(),
            framing: Framing::default(),
            resolution: None,
            no_flip: false,
            eval_every: 25,
            eval_size: defaults::EVAL_SIZE,
            early_stop: false,
            early_stop_window: 310,
            early_stop_threshold: 0.15,
            preview_every: 100,
            preview_prompt: None,
            save_every: 50,
        }
    }
}

/// How pictures are generated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::Args))]
#[serde(default, rename_all = "kebab-case")]
pub struct SampleConfig {
    /// What the picture should not show
    #[cfg_attr(feature = "native", arg(long, value_name = "PROMPT", default_value = "", hide_default_value = true))]
    pub negative_prompt: String,
    /// Denoising steps
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = defaults::SAMPLE_STEPS))]
    pub steps: u32,
    /// How closely to follow the prompt; 1 switches guidance off
    #[cfg_attr(feature = "native", arg(long, value_name = "SCALE", default_value_t = defaults::GUIDANCE))]
    pub guidance: f64,
    /// The sampling method
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = SamplerKind::default()))]
    pub sampler: SamplerKind,
    /// Karras spacing of the noise levels (Euler samplers and DPM++ 2M)
    #[cfg_attr(feature = "native", arg(long))]
    pub karras: bool,
    /// Seed of the noise
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = defaults::SEED))]
    pub seed: u64,
    /// Pictures to make, with seeds counting up
    #[cfg_attr(feature = "native", arg(long, value_name = "N", default_value_t = 1))]
    pub count: u32,
    /// Pictures that are denoised together
    #[cfg_attr(feature = "native", arg(long, value_name = "B", default_value_t = 4))]
    pub batch_size: u32,
    /// Width in pixels [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_name = "PIXELS"))]
    pub width: Option<u32>,
    /// Height in pixels [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_name = "PIXELS"))]
    pub height: Option<u32>,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            negative_prompt: String::new(),
            steps: defaults::SAMPLE_STEPS,
            guidance: defaults::GUIDANCE,
            sampler: SamplerKind::default(),
            karras: false,
            seed: defaults::SEED,
            count: 1,
            batch_size: 4,
            width: None,
            height: None,
        }
    }
}
