//! Which language prompts are written in.

use serde::{Deserialize, Serialize};

/// What in a prompt is more than text: `text::language` reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum), value(rename_all = "lower"))]
#[serde(rename_all = "lowercase")]
pub enum PromptSyntax {
    /// `(more)`, `(much more:1.4)`, `[less]`, `\(`, `BREAK`: as A1111's web interface and Forge read them.
    #[default]
    A1111,
    /// `(more)`, `(much more:1.4)`, `\(`: as ComfyUI reads them.
    ComfyUi,
    /// `more+`, `less-`, `(much more)1.4`: as the compel library of InvokeAI and diffusers' users reads them.
    Compel,
    /// Everything is text, as it is for diffusers alone.
    Plain,
}

impl PromptSyntax {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::A1111, Self::ComfyUi, Self::Compel, Self::Plain];
}
