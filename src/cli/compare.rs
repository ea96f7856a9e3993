//! Pictures with embeddings and without: the same noise, the same settings, another prompt.

use image::RgbImage;

use super::load::ModelId;
use crate::base::text::quoted;
use crate::config::{PromptSyntax, SampleConfig};
use crate::embedding::Embedding;
use crate::image::{Sheet, SheetRow};
use crate::session;
use crate::text::ClipTokenizer;
use crate::{Error, Result};

/// A prompt and what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub with: String,
    /// The prompt without the embeddings in it.
    pub without: String,
}

impl Pair {
    /// A prompt, and what is left of it without the embeddings.
    ///
    /// # Errors
    /// [`Error::Usage`] if no embedding is in it.
    pub fn of(
        prompt: &str,
        syntax: PromptSyntax,
        tokenizer: &ClipTokenizer,
        embeddings: &[&Embedding],
    ) -> Result<Self> {
        let Some(without) = session::without(prompt, syntax, tokenizer, embeddings.iter().copied()) else {
            let known: Vec<&str> = embeddings.iter().map(|embedding| embedding.token.as_str()).collect();
            let known = if known.is_empty() {
                "give one with --embedding".to_owned()
            } else {
                format!("use {}", known.join(", "))
            };
            return Err(Error::Usage(format!(
                "--compare needs an embedding in each prompt, but {shown} has none: {known}",
                shown = quoted(prompt)
            )));
        };
        Ok(Self { with: prompt.to_owned(), without })
    }
}

/// The pictures of a prompt and its counterpart, seed by seed; those that were not made are missing.
pub(super) struct Compared {
    pub pair: Pair,
    pub with: Vec<RgbImage>,
    pub without: Vec<RgbImage>,
}

/// Prompts down, with and without across.
pub(super) fn sheet(
    compared: Vec<Compared>,
    config: &SampleConfig,
    seeded: bool,
    model: &ModelId,
    tokens: &[String],
) -> RgbImage {
    let count = config.count as usize;
    let rows = compared.into_iter().flat_map(|compared| {
        let Compared { pair, with, without } = compared;
        let (mut with, mut without) = (with.into_iter(), without.into_iter());
        let rows: Vec<SheetRow> = (0..count)
            .map(|i| {
                let seed =
                    if seeded && count > 1 { format!(" [seed {}]", config.seed_of(i as u64)) } else { String::new() };
                let label = format!("{}{seed} (without: {})", pair.with, pair.without);
                SheetRow { label, pictures: vec![with.next(), without.next()] }
            })
            .collect();
        rows
    });
    let noise = match (seeded, count) {
        (false, _) => "noise from a file".to_owned(),
        (true, 1) => format!("seed {}", config.seed),
        (true, _) => format!("seeds {} to {}", config.seed, config.seed_of(count as u64 - 1)),
    };
    let (steps, guidance) = (config.steps(), config.guidance());
    let title =
        format!("{}, {noise}, {steps} steps of {}, guidance {guidance}", model.name, config.sampler_and_spacing());
    let columns = vec![format!("with {}", tokens.join(", ")), "without".to_owned()];
    Sheet { title: Some(title), columns, rows: rows.collect() }.render()
}
