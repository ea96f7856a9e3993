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

    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A1111 => "a1111",
            Self::ComfyUi => "comfyui",
            Self::Compel => "compel",
            Self::Plain => "plain",
        }
    }

    /// As people write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::A1111 => "A1111",
            Self::ComfyUi => "ComfyUI",
            Self::Compel => "compel",
            Self::Plain => "plain text",
        }
    }

    /// The language of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|syntax| syntax.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_the_name_that_settings_files_give_it() {
        for syntax in PromptSyntax::ALL {
            assert_eq!(serde_json::to_value(syntax).unwrap(), syntax.name());
            assert_eq!(PromptSyntax::of(syntax.name()), Some(syntax));
        }
        assert_eq!(PromptSyntax::of("A1111"), None);
    }
}
