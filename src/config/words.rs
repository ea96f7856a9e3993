//! The words that a run learns: one, or two of the same pictures.

use super::{Kind, TrainConfig};
use crate::setting::Setting;

/// A word that is learned, as the settings have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WordConfig<'a> {
    /// How it will be written in prompts.
    pub token: &'a str,
    /// What it starts from: words, or on the command line the name of a file.
    pub init: Option<&'a String>,
    /// How many vectors it has.
    pub vectors: u32,
    /// What it stands for.
    pub kind: Kind,
}

/// The settings that a word has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordSettings {
    /// [`WordConfig::token`]
    pub token: Setting,
    /// [`WordConfig::init`]
    pub init: Setting,
    /// [`WordConfig::vectors`]
    pub vectors: Setting,
    /// [`WordConfig::kind`]
    pub kind: Setting,
}

impl WordSettings {
    /// Those of the first word and of the second.
    pub const OF_EACH: [Self; 2] = [
        Self { token: Setting::Token, init: Setting::Init, vectors: Setting::Vectors, kind: Setting::Kind },
        Self {
            token: Setting::SecondToken,
            init: Setting::SecondInit,
            vectors: Setting::SecondVectors,
            kind: Setting::SecondKind,
        },
    ];
}

impl TrainConfig {
    /// The second word, if there is one. Where it is left open, it is a style beside a thing and a thing beside a style, and has as many
    /// vectors as the first.
    pub fn second(&self) -> Option<WordConfig<'_>> {
        let other = match self.kind {
            Kind::Object => Kind::Style,
            Kind::Style => Kind::Object,
        };
        Some(WordConfig {
            token: self.second_token.as_deref()?,
            init: self.second_init.as_ref(),
            vectors: self.second_vectors.unwrap_or(self.vectors()),
            kind: self.second_kind.unwrap_or(other),
        })
    }

    /// The words that are learned, in the order of their rows.
    pub fn words(&self) -> impl Iterator<Item = WordConfig<'_>> {
        let (token, init) = (self.token.as_str(), self.init.as_ref());
        std::iter::once(WordConfig { token, init, vectors: self.vectors(), kind: self.kind }).chain(self.second())
    }

    /// What they are called.
    pub fn tokens(&self) -> Vec<&str> {
        self.words().map(|word| word.token).collect()
    }

    /// Whether a thing is among what is learned.
    pub fn learns_a_thing(&self) -> bool {
        self.words().any(|word| word.kind == Kind::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_word_is_what_the_first_is_not_until_a_setting_says_otherwise() {
        let config = |kind, second_kind, second_vectors| TrainConfig {
            token: "<one>".to_owned(),
            vectors: Some(3),
            kind,
            second_token: Some("<two>".to_owned()),
            second_kind,
            second_vectors,
            ..TrainConfig::default()
        };
        for (kind, second, vectors, expected) in [
            (Kind::Object, None, None, (Kind::Style, 3)),
            (Kind::Style, None, Some(1), (Kind::Object, 1)),
            (Kind::Object, Some(Kind::Object), None, (Kind::Object, 3)),
        ] {
            let config = config(kind, second, vectors);
            let found = config.second().unwrap();
            assert_eq!((found.token, found.kind, found.vectors), ("<two>", expected.0, expected.1));
            assert_eq!(config.tokens(), ["<one>", "<two>"]);
        }
        let one = TrainConfig { second_kind: Some(Kind::Object), ..TrainConfig::default() };
        assert!(one.second().is_none() && one.words().count() == 1);
        assert!(one.learns_a_thing() && !TrainConfig { kind: Kind::Style, ..one }.learns_a_thing());
    }
}
