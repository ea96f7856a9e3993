//! How an embedding is learned.

use serde::{Deserialize, Serialize};

#[cfg(feature = "native")]
use super::typed;
use super::usual::UsualTraining;
use super::{
    Backgrounds, Checkpointing, Framing, Keep, Kind, LrSchedule, Masks, OnDivergence, Pooling, PromptSyntax, Quality,
    Recipe, Span, TimestepDistribution,
};
use crate::embedding::ModelFamily;

/// How an embedding is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::Args))]
#[serde(default, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The placeholder token: how the embedding will be written in prompts
    #[cfg_attr(
        feature = "native",
        arg(
            long,
            value_name = "TOKEN",
            required_unless_present = "batch",
            default_value = "",
            hide_default_value = true,
            help_heading = "Embedding"
        )
    )]
    pub token: String,
    /// What to start from: a word or phrase the model knows for what the pictures show, or an embedding file
    #[cfg_attr(feature = "native", arg(long, value_name = "WORDS|FILE", help_heading = "Embedding"))]
    pub init: Option<String>,
    /// How many vectors the token stands for; none: as is usual for the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "K", help = help::vectors(), help_heading = "Embedding"))]
    pub vectors: Option<u32>,
    /// Whether the pictures show a thing or a style
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().kind, help_heading = "Embedding"))]
    pub kind: Kind,
    /// A second word to learn of the same pictures, such as their style beside the thing: its token. Captions have each where it stands (`{}`
    /// and `{2}`, or the tokens); without captions it is a thing and its style. Each is saved in a file of its own
    #[cfg_attr(feature = "native", arg(long, value_name = "TOKEN", help_heading = "Embedding"))]
    pub second_token: Option<String>,
    /// What the second word starts from, as --init
    #[cfg_attr(feature = "native", arg(long, value_name = "WORDS|FILE", help_heading = "Embedding"))]
    pub second_init: Option<String>,
    /// How many vectors the second word has [default: as many as the first]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "K", help_heading = "Embedding"))]
    pub second_vectors: Option<u32>,
    /// Whether the second word is a thing or a style [default: the one that the first is not]
    #[cfg_attr(feature = "native", arg(long, value_enum, value_name = "KIND", help_heading = "Embedding"))]
    pub second_kind: Option<Kind>,

    /// Optimiser steps; none: as is usual for the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::count, value_name = "N", help = help::steps(), help_heading = "Training"))]
    pub steps: Option<u32>,
    /// How the vectors are optimised
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().recipe, help_heading = "Training"))]
    pub recipe: Recipe,
    /// Peak learning rate; none: as is usual for the recipe and the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "RATE", help = help::lr(), help_heading = "Training"))]
    pub lr: Option<f64>,
    /// AdamW: peak learning rate in usual lengths, which means about the same to every model: times the median length of the rows of each text encoder's vocabulary, over the root of their width (0.5 is about 0.01 for the mini model)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "RATE", help_heading = "Training"))]
    pub relative_lr: Option<f64>,
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
    /// Learn only from these noise levels, of 1000 from the least noisy up: such as 500..900 [default: 400..1000 for mini, all for SD 1.x and
    /// SD 2.x and SDXL]
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::span, value_name = "A..B", help_heading = "Training"))]
    pub timesteps: Option<Span>,
    /// How likely each noise level is
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().timestep_distribution, help_heading = "Training"))]
    pub timestep_distribution: TimestepDistribution,
    /// AdamW: keep the length that each vector has after step FROM until after step TO, such as 120..180 (CoRe, AAAI 2025)
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::span, value_name = "FROM..TO", help_heading = "Training"))]
    pub hold_norm: Option<Span>,
    /// How much it counts when the word changes what the encoder makes of the words behind it in a scene, against the word or phrase of
    /// --init (CoRe, AAAI 2025); none: as is usual for the model
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "W", help = help::context_weight(), help_heading = "Training"))]
    pub context_weight: Option<f64>,
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
    /// How often a picture's caption is nothing but the token: a probability
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "P", default_value_t = Self::default().caption_dropout, help_heading = "Pictures and captions"))]
    pub caption_dropout: f64,
    /// With a second word: how often a sentence has only one of the two, and in place of the other the words that it starts from
    /// (Break-A-Scene, SIGGRAPH Asia 2023): a probability
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "P", default_value_t = Self::default().alone, help_heading = "Pictures and captions"))]
    pub alone: f64,

    /// Which masks say what of a picture is the thing: those given (photo.mask.png, photo-masklabel.png, white where the thing is, or the
    /// picture's own transparency), those also found by the program (auto), or none [default: auto for mini where a picture has no caption of
    /// its own, given for SD 1.x and SD 2.x and SDXL]
    #[cfg_attr(
        feature = "native",
        arg(long, value_enum, value_name = "WHICH", help_heading = "Pictures and captions")
    )]
    pub masks: Option<Masks>,
    /// What is behind a thing that has a mask: what was there, or plain colours in turn, which captions name [default: plain for mini, kept
    /// for SD 1.x and SD 2.x and SDXL]
    #[cfg_attr(
        feature = "native",
        arg(long, value_enum, value_name = "WHICH", help_heading = "Pictures and captions")
    )]
    pub backgrounds: Option<Backgrounds>,
    /// How much what is outside of a mask counts in the loss, beside 1 for the thing
    #[cfg_attr(feature = "native", arg(long, value_parser = typed::number, value_name = "X", default_value_t = Self::default().outside, help_heading = "Pictures and captions"))]
    pub outside: f64,

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
    /// Look at the word when its run ends: does it show the thing, does the prompt still rule, at which step was it best; of runs of 50
    /// steps and more that start from words (takes about as long as 45 steps of four samples)
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().quality, help_heading = "Progress"))]
    pub quality: Quality,
    /// Which state is the result: the best, where it is clearly better than the last, or always the last
    #[cfg_attr(feature = "native", arg(long, value_enum, default_value_t = Self::default().keep, help_heading = "Progress"))]
    pub keep: Keep,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            token: String::new(),
            init: None,
            vectors: None,
            kind: Kind::default(),
            second_token: None,
            second_init: None,
            second_vectors: None,
            second_kind: None,
            steps: None,
            recipe: Recipe::default(),
            lr: None,
            relative_lr: None,
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
            timesteps: None,
            timestep_distribution: TimestepDistribution::default(),
            hold_norm: None,
            context_weight: None,
            seed: 0,
            pooling: Pooling::default(),
            on_divergence: OnDivergence::default(),
            checkpointing: Checkpointing::default(),
            framing: Framing::default(),
            resolution: None,
            no_flip: false,
            caption_dropout: 0.0,
            alone: 0.0,
            masks: None,
            backgrounds: None,
            outside: 0.1,
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
            quality: Quality::default(),
            keep: Keep::default(),
        }
    }
}

impl TrainConfig {
    /// What is usual where no model has decided ([`decided`](crate::train::usual::decided)): for models of unknown families.
    const USUAL: UsualTraining = ModelFamily::Sd1.training();

    /// Optimiser steps, once a model has decided.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(Self::USUAL.steps)
    }

    /// How many vectors the token stands for, once a model has decided.
    pub fn vectors(&self) -> u32 {
        self.vectors.unwrap_or(Self::USUAL.vectors)
    }

    /// Samples in a forward pass, and passes in a step, with a model of a family: where they are not set, as is usual for it.
    pub fn batch(&self, family: ModelFamily) -> [u32; 2] {
        let [size, passes] = if self.batch_size.is_none() { family.training().batch } else { [1, 1] };
        [self.batch_size.unwrap_or(size), self.gradient_accumulation.unwrap_or(passes)]
    }
}

/// The help of settings whose default is that of the model.
#[cfg(feature = "native")]
mod help {
    use crate::config::Recipe;
    use crate::config::usual::of_each;

    pub fn vectors() -> String {
        format!(
            "How many vectors the token stands for [default: {}]",
            of_each(|family| family.training().vectors.to_string())
        )
    }

    pub fn steps() -> String {
        format!("Optimiser steps [default: {}]", of_each(|family| family.training().steps.to_string()))
    }

    pub fn context_weight() -> String {
        format!(
            "How much it counts when the word changes what the encoder makes of the words behind it in a scene, against the words that it \
             starts from (CoRe, AAAI 2025) [default: {}; 0 with captions or sentences of your own, for a style, for two words, with the \
             direction recipe, and where it starts from no words]",
            of_each(|family| family.training().context_weight.to_string())
        )
    }

    pub fn lr() -> String {
        let of = |recipe| of_each(|family| family.rate(recipe).to_string());
        format!("Peak learning rate [default: adamw: {}; direction: {}]", of(Recipe::Adamw), of(Recipe::Direction))
    }
}
