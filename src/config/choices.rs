//! What settings choose between.

use serde::{Deserialize, Serialize};

use crate::embedding::Embedding;

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

/// How likely each noise level is for a sample, from the least noisy to the noisiest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum TimestepDistribution {
    /// All alike, as models are trained.
    #[default]
    Uniform,
    /// Those in the middle more often: the logistic function of a standard normal number (arXiv 2403.03206, section 3.1).
    LogitNormal,
    /// The noisier, the more often: twice the mean at the noisiest, never at the least noisy.
    Rising,
    /// The less noisy, the more often.
    Falling,
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

/// Where masks come from, which say what of a picture is the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Masks {
    /// What was given, and otherwise what the program finds of a thing where it is sure.
    Auto,
    /// What was given with a picture: a file, or its own transparency.
    Given,
    /// Nowhere: all of every picture counts.
    Off,
}

/// Whether a word that was learned is looked at when its run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Where so much was learned that there is something to see.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Which state of a run is its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The last, unless an earlier one is clearly better.
    #[default]
    Best,
    /// The last.
    Last,
}

/// What is behind a thing that has a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Backgrounds {
    /// What is behind it in its picture.
    Kept,
    /// Plain colours in turn, which captions name; of pictures with captions of their own what is in them.
    Plain,
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
    class: &'static str,
    takes_karras: bool,
    needs_noise: bool,
}

impl SamplerKind {
    /// Every sampler, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Ddim, Self::Pndm, Self::Euler, Self::EulerAncestral, Self::Dpmpp2m];

    /// The names of AUTOMATIC1111's web UI are in its `modules/sd_samplers_kdiffusion.py` and
    /// `sd_samplers_timesteps.py`; the classes are those of diffusers, which `scheduler_config.json` names.
    const fn facts(self) -> SamplerFacts {
        let (name, label, upstream, class, takes_karras, needs_noise) = match self {
            SamplerKind::Ddim => ("ddim", "DDIM", "DDIM", "DDIMScheduler", false, false),
            SamplerKind::Pndm => ("pndm", "PNDM", "PLMS", "PNDMScheduler", false, false),
            SamplerKind::Euler => ("euler", "Euler", "Euler", "EulerDiscreteScheduler", true, false),
            SamplerKind::EulerAncestral => {
                ("euler-ancestral", "Euler ancestral", "Euler a", "EulerAncestralDiscreteScheduler", true, true)
            }
            SamplerKind::Dpmpp2m => ("dpmpp2m", "DPM++ 2M", "DPM++ 2M", "DPMSolverMultistepScheduler", true, false),
        };
        SamplerFacts { name, label, upstream, class, takes_karras, needs_noise }
    }

    /// The sampler that a scheduler class of diffusers is, if there is it.
    pub fn of_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sampler| sampler.facts().class == class)
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
