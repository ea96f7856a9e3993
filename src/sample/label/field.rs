//! What a picture's texts call each setting: written and read by this one list.

/// A setting that made a picture, beside its prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Steps,
    Sampler,
    Spacing,
    Guidance,
    Seed,
    Size,
    ModelHash,
    Model,
    Embeddings,
    ClipSkip,
    Syntax,
    EmptyNegative,
    Pooling,
    Software,
}

impl Field {
    pub const ALL: [Self; 14] = [
        Self::Steps,
        Self::Sampler,
        Self::Spacing,
        Self::Guidance,
        Self::Seed,
        Self::Size,
        Self::ModelHash,
        Self::Model,
        Self::Embeddings,
        Self::ClipSkip,
        Self::Syntax,
        Self::EmptyNegative,
        Self::Pooling,
        Self::Software,
    ];

    /// Its keyword in our own texts, and its key in `parameters` (`modules/processing.py`, `create_infotext`, and what is ours
    /// alone).
    const fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Steps => ("steps", "Steps"),
            Self::Sampler => ("sampler", "Sampler"),
            // Ours names it beside the sampler.
            Self::Spacing => ("", "Schedule type"),
            Self::Guidance => ("guidance", "CFG scale"),
            Self::Seed => ("seed", "Seed"),
            Self::Size => ("size", "Size"),
            Self::ModelHash => ("model hash", "Model hash"),
            Self::Model => ("model", "Model"),
            Self::Embeddings => ("embeddings", "TI hashes"),
            Self::ClipSkip => ("clip skip", "Clip skip"),
            Self::Syntax => ("prompt syntax", "Prompt syntax"),
            Self::EmptyNegative => ("empty negative", "Empty negative"),
            Self::Pooling => ("pooling", "Pooling"),
            Self::Software => ("Software", "Version"),
        }
    }

    /// Its keyword in our own texts.
    pub const fn keyword(self) -> &'static str {
        self.keys().0
    }

    /// Its key in `parameters`.
    pub const fn key(self) -> &'static str {
        self.keys().1
    }

    pub fn of_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| !keyword.is_empty() && field.keyword() == keyword)
    }

    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.key() == key)
    }
}

/// Keywords of what is not a setting.
pub(super) const PARAMETERS: &str = "parameters";
pub(super) const PROMPT: &str = "prompt";
pub(super) const NEGATIVE: &str = "negative prompt";
/// What stands for the seed of noise that was given.
pub(super) const GIVEN_NOISE: &str = "noise from a file";
