//! What a user can set, with the one source of defaults for the command line, the page and the library.
//!
//! The structs are plain serde data. With the `native` feature they are clap arguments too: their help is the comment
//! of the field, their default that of `Default`, which is the only place where a default is written. The page asks for
//! them (`web::form`). Which ones were measured, and how, is in `benches/README.md`.

mod prompt_syntax;
#[cfg(feature = "native")]
pub mod typed;

pub use prompt_syntax::PromptSyntax;
use serde::{Deserialize, Serialize};

use crate::embedding::Embedding;

/// How a choice is spelled in settings files and on the command line.
pub fn option_name(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What the embedding stands for: decides which captions it is trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A thing: "a photo of S*".
    #[default]
    Object,
    /// A style: "a painting in the style of S*".
    Style,
}

impl Kind {
    /// Every kind, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Object, Self::Style];

    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Style => "style",
        }
    }

    /// As people say it.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Object => "a thing",
            Kind::Style => "a style",
        }
    }
}

/// What the vectors of an embedding start from.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// The vectors of an embedding.
    Embedding(Embedding),
    /// Words that the model knows.
    Phrase(String),
    /// Vectors drawn like those of the model's vocabulary.
    Random,
}

impl Init {
    /// What an initializer means that does not name a file: a phrase, or without one [`Random`](Init::Random).
    pub fn of_phrase(phrase: Option<&String>) -> Self {
        phrase.map_or(Self::Random, |phrase| Self::Phrase(phrase.clone()))
    }
}

/// How the vectors are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// AdamW on the vectors, as in the Textual Inversion paper's code and diffusers.
    #[default]
    Adamw,
    /// Direction-only optimisation (DTI, arXiv 2512.13672): the norms are fixed, the directions move on the sphere.
    Direction,
}

impl Recipe {
    /// The peak learning rate where none is set; of the direction, the tangent of the angle of each step. Measured
    /// (`benches/README.md`).
    pub const fn lr(self) -> f64 {
        match self {
            Recipe::Adamw => 1e-2,
            Recipe::Direction => 1e-1,
        }
    }

    /// The same for models with two text encoders (SDXL), as published: AdamW's is that of Eden's trainer for embeddings alone
    /// (edenartlab/sd-lora-trainer: four samples a step, 300 steps), the direction's that of its authors' experiments
    /// (kunheek/dti, `exps/ours_sdxl.py`: four samples a step, 400 steps).
    pub const fn lr_of_two_encoders(self) -> f64 {
        match self {
            Recipe::Adamw => 1e-3,
            Recipe::Direction => 4e-2,
        }
    }
}

/// What to do when training diverges: NaN or infinite losses, or vectors that have grown absurdly long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum OnDivergence {
    /// End the run with the last good vectors.
    #[default]
    Stop,
    /// Go back to the last good vectors and continue at half the learning rate, five times at most.
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
    /// Keep the whole picture, padded to a square with white.
    Fit,
}

/// Whether blocks are recomputed in the backward pass instead of being remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Checkpointing {
    /// On if keeping everything would take more than half a gigabyte.
    #[default]
    Auto,
    /// Keep only the inputs of each block: the least memory, about a third more work.
    On,
    /// Keep everything: the fastest.
    Off,
}

/// Which token's state stands for the whole prompt, in models with a second text encoder (SDXL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The end token, as the models were trained, and as kohya, ComfyUI and A1111 do it.
    #[default]
    End,
    /// What transformers, and so diffusers and OneTrainer, take with the models' usual configuration: the token with the
    /// largest id, which is the last vector of an embedding where the prompt has one.
    Diffusers,
}

/// What guidance leads away from where there is no negative prompt, in models with a second text encoder (SDXL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum EmptyNegative {
    /// The empty prompt, as A1111 and ComfyUI do it.
    Encoded,
    /// Zeros in the place of a prompt's states, as diffusers does it.
    Zeros,
}

/// The method that turns noise into a picture, named after the scheduler classes of diffusers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// DDIM (arXiv 2010.02502).
    #[default]
    Ddim,
    /// PNDM without Runge-Kutta warm-up, as Stable Diffusion 1.5 ships it (arXiv 2202.09778).
    Pndm,
    /// Euler (arXiv 2206.00364, algorithm 2).
    Euler,
    /// Euler with fresh noise at each step.
    EulerAncestral,
    /// DPM-Solver++ of second order, multistep (arXiv 2211.01095).
    Dpmpp2m,
}

/// What other modules need to know of a sampler: all that a new one must fill in, apart from its method in
/// [`Sampler::new`](crate::schedule::Sampler::new).
struct SamplerFacts {
    name: &'static str,
    label: &'static str,
    upstream: &'static str,
    takes_karras: bool,
    needs_noise: bool,
}

impl SamplerKind {
    /// Every sampler, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Ddim, Self::Pndm, Self::Euler, Self::EulerAncestral, Self::Dpmpp2m];

    /// The names of AUTOMATIC1111's web UI are in its `modules/sd_samplers_kdiffusion.py` and
    /// `sd_samplers_timesteps.py`.
    const fn facts(self) -> SamplerFacts {
        let (name, label, upstream, takes_karras, needs_noise) = match self {
            SamplerKind::Ddim => ("ddim", "DDIM", "DDIM", false, false),
            SamplerKind::Pndm => ("pndm", "PNDM", "PLMS", false, false),
            SamplerKind::Euler => ("euler", "Euler", "Euler", true, false),
            SamplerKind::EulerAncestral => ("euler-ancestral", "Euler ancestral", "Euler a", true, true),
            SamplerKind::Dpmpp2m => ("dpmpp2m", "DPM++ 2M", "DPM++ 2M", true, false),
        };
        SamplerFacts { name, label, upstream, takes_karras, needs_noise }
    }

    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// As people write it.
    pub const fn label(self) -> &'static str {
        self.facts().label
    }

    /// As AUTOMATIC1111's web UI, whose form of picture labels most programs read, calls it.
    pub const fn upstream(self) -> &'static str {
        self.facts().upstream
    }

    /// Whether its noise levels can be spaced as Karras proposes: not those that are defined on the timesteps
    /// themselves.
    pub const fn takes_karras(self) -> bool {
        self.facts().takes_karras
    }

    /// Whether each of its steps adds fresh noise.
    pub const fn needs_noise(self) -> bool {
        self.facts().needs_noise
    }
}

/// How an embedding is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::Args))]
#[serde(default, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The placeholder token: how the embedding will be written in prompts
    #[cfg_attr(feature = "native", arg(long, value_name = "TOKEN", help_heading = "Embedding"))]
    pub token: String,
    /// What to start from: a word or phrase the model knows for what the pictures show, or an embedding file
    #[cfg_attr(feature = "native", arg(long, value_name = "WORDS|FILE", help_heading = "Embedding"))]
    pub init: Option<String>,
    /// How many vectors the token stands for
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "K", default_value_t = Self::default().vectors, help_heading = "Embedding"))]
    pub vectors: u32,
    /// Whether the pictures show a thing or a style
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().kind, help_heading = "Embedding"))]
    pub kind: Kind,

    /// Optimiser steps
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().steps, help_heading = "Training"))]
    pub steps: u32,
    /// How the vectors are optimised
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().recipe, help_heading = "Training"))]
    pub recipe: Recipe,
    /// Peak learning rate [default: 0.01 for adamw, 0.1 for direction; of SDXL 0.001 and 0.04]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "RATE", help_heading = "Training"))]
    pub lr: Option<f64>,
    /// How the learning rate changes
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().lr_schedule, help_heading = "Training"))]
    pub lr_schedule: LrSchedule,
    /// Steps over which the learning rate rises to its peak
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().warmup, help_heading = "Training"))]
    pub warmup: u32,
    /// Samples in a forward pass [default: 4; of SDXL 1]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "B", help_heading = "Training"))]
    pub batch_size: Option<u32>,
    /// Forward passes in an optimiser step [default: 1; of SDXL 4 where --batch-size is not given]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", help_heading = "Training"))]
    pub gradient_accumulation: Option<u32>,
    /// AdamW: decay of the gradient's mean; direction: decay of its squared norm (0 = every step has the same angle)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", help_heading = "Training"))]
    pub beta1: Option<f64>,
    /// AdamW: decay of the gradient's square
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().beta2, help_heading = "Training"))]
    pub beta2: f64,
    /// AdamW: added to the root of the square
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().eps, help_heading = "Training"))]
    pub eps: f64,
    /// AdamW: decoupled weight decay
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().weight_decay, help_heading = "Training"))]
    pub weight_decay: f64,
    /// Direction: pull back towards the initializer (kappa of the von Mises-Fisher prior)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().kappa, help_heading = "Training"))]
    pub kappa: f64,
    /// Weight the loss by min(SNR, gamma)/SNR (arXiv 2303.09556)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "GAMMA", help_heading = "Training"))]
    pub snr_gamma: Option<f64>,
    /// Seed of every random choice
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::seed, value_name = "N", default_value_t = Self::default().seed, help_heading = "Training"))]
    pub seed: u64,
    /// Which token stands for the whole caption (SDXL)
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().pooling, help_heading = "Training"))]
    pub pooling: Pooling,
    /// What to do when training diverges: NaN or infinite losses, or vectors that have grown absurdly long
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().on_divergence, help_heading = "Training"))]
    pub on_divergence: OnDivergence,
    /// Recompute blocks in the backward pass to save memory
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().checkpointing, help_heading = "Training"))]
    pub checkpointing: Checkpointing,

    /// How to make pictures square
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().framing, help_heading = "Pictures and captions"))]
    pub framing: Framing,
    /// Side in pixels to train at [default: the model's own]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "PIXELS", help_heading = "Pictures and captions"))]
    pub resolution: Option<u32>,
    /// Do not mirror pictures at random (no horizontal flips)
    #[cfg_attr(feature = "native", arg(long, help_heading = "Pictures and captions"))]
    pub no_flip: bool,

    /// Evaluate on the fixed batch every N steps (0 = only at the start and the end)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().eval_every, help_heading = "Progress"))]
    pub eval_every: u32,
    /// Samples in the fixed evaluation batch
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().eval_size, help_heading = "Progress"))]
    pub eval_size: u32,
    /// Stop when the evaluation loss has settled (DVAR, arXiv 2302.04841); evaluates after every step
    #[cfg_attr(feature = "native", arg(long, help_heading = "Progress"))]
    pub early_stop: bool,
    /// Early stopping: evaluations in the window
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "W", default_value_t = Self::default().early_stop_window, help_heading = "Progress"))]
    pub early_stop_window: u32,
    /// Early stopping: stop when var(window)/var(all) is below this
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().early_stop_threshold, help_heading = "Progress"))]
    pub early_stop_threshold: f64,
    /// Make a preview picture every N steps, and before the first (0 = none)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().preview_every, help_heading = "Progress"))]
    pub preview_every: u32,
    /// Denoising steps of a preview, which is made with DPM++ 2M
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().preview_steps, help_heading = "Progress"))]
    pub preview_steps: u32,
    /// Prompt of the previews [default: made from the kind and the token]
    #[cfg_attr(feature = "native", arg(long, value_name = "PROMPT", help_heading = "Progress"))]
    pub preview_prompt: Option<String>,
    /// The language that the preview prompt is written in (captions are text)
    #[cfg_attr(feature = "native", arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Self::default().prompt_syntax, help_heading = "Progress"))]
    pub prompt_syntax: PromptSyntax,
    /// Save the embedding every N steps (0 = only at the end)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", default_value_t = Self::default().save_every, help_heading = "Progress"))]
    pub save_every: u32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            token: String::new(),
            init: None,
            vectors: 2,
            kind: Kind::default(),
            steps: 300,
            recipe: Recipe::default(),
            lr: None,
            lr_schedule: LrSchedule::default(),
            warmup: 0,
            batch_size: None,
            gradient_accumulation: None,
            beta1: None,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            kappa: 1e-4,
            snr_gamma: None,
            seed: 0,
            pooling: Pooling::default(),
            on_divergence: OnDivergence::default(),
            checkpointing: Checkpointing::default(),
            framing: Framing::default(),
            resolution: None,
            no_flip: false,
            eval_every: 25,
            eval_size: 16,
            early_stop: false,
            early_stop_window: 310,
            early_stop_threshold: 0.15,
            preview_every: 100,
            preview_steps: 12,
            preview_prompt: None,
            prompt_syntax: PromptSyntax::default(),
            save_every: 50,
        }
    }
}

impl TrainConfig {
    /// Samples in a forward pass, and passes in a step. Where they are not set, a step has four samples: together, or one after the
    /// other in models with two text encoders (SDXL), where each takes 0.9 GB at the models' own size.
    pub fn batch(&self, two_encoders: bool) -> [u32; 2] {
        let [size, passes] = if two_encoders && self.batch_size.is_none() { [1, 4] } else { [4, 1] };
        [self.batch_size.unwrap_or(size), self.gradient_accumulation.unwrap_or(passes)]
    }
}

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
