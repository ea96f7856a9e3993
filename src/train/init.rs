//! What the vectors start from.

use super::words::{Word, Words};
use crate::base::text::quoted;
use crate::config::{Init, option_name};
use crate::embedding::{Embedding, Vectors};
use crate::model::Model;
use crate::noise::{Draws, Noise, Stream};
use crate::text::{ClipTokenizer, Rows, TextEncoder, readable};
use crate::weights::HostTable;
use crate::{Error, Result};

/// The initial rows, and a note of where they come from.
///
/// A phrase of n tokens fills K >= n vectors in order, each token taking a run of about K/n, as A1111 does. An
/// embedding is taken row by row, its last row repeated. With neither, rows are drawn with the mean and deviation of
/// the vocabulary's. The rows of a second word come behind those of the first.
pub(super) fn rows(seed: u64, words: &Words, model: &Model) -> Result<Rows> {
    let mut draws = Noise::new(seed).draws(0, Stream::Init);
    let mut of_encoder = |(i, encoder): (usize, &TextEncoder)| {
        let values = words.iter().map(|word| for_encoder(word, i, encoder, &mut draws)).collect::<Result<Vec<_>>>()?;
        Ok(Rows { values: values.concat(), width: encoder.width() })
    };
    let rows = model.text_encoders.iter().enumerate().map(&mut of_encoder).collect::<Result<Vec<_>>>()?;
    Ok(Rows::side_by_side(&rows))
}

/// What a word starts from, in words.
pub(super) fn note(word: &Word) -> String {
    match &word.init {
        Init::Embedding(embedding) => embedding.token.clone(),
        Init::Phrase(phrase) => phrase.clone(),
        Init::Random => format!("random ({})", option_name(&word.kind)),
    }
}

/// The initial rows of a word for the text encoder with the number `i`, `[K, D]`.
fn for_encoder(word: &Word, i: usize, encoder: &TextEncoder, draws: &mut Draws) -> Result<Vec<f32>> {
    let table = &encoder.model.token_embedding;
    let (vectors, width) = (word.vectors, table.width());
    Ok(match &word.init {
        Init::Embedding(embedding) => {
            let own = vectors_for(embedding, i, width, word)?;
            let row = |k: usize| k.min(own.count() - 1) * width;
            (0..vectors).flat_map(|k| own.rows[row(k)..row(k) + width].to_vec()).collect()
        }
        Init::Phrase(phrase) => {
            let ids = phrase_ids(phrase, word, &encoder.tokenizer)?;
            (0..vectors).flat_map(|k| table.row(ids[k * ids.len() / vectors] as usize)).collect()
        }
        Init::Random => drawn(vectors, table, draws),
    })
}

/// An embedding's vectors for the text encoder with the number `i`, which takes vectors of a width; there may be as many
/// as there are to be learned.
pub(super) fn vectors_for<'e>(embedding: &'e Embedding, i: usize, width: usize, word: &Word) -> Result<&'e Vectors> {
    let own = embedding.encoders.get(i).filter(|own| own.width == width);
    let own = own.ok_or_else(|| Error::Internal(format!("the embedding {} is for another model", embedding.token)))?;
    let has = own.count();
    let vectors = word.vectors;
    if has > vectors {
        let (token, option) = (&embedding.token, word.settings.vectors);
        let text = format!(
            "the embedding {shown} has {has} vectors, but {option} is {vectors}: set {option} {has}",
            shown = quoted(token)
        );
        return Err(Error::Usage(text));
    }
    Ok(own)
}

/// The ids of an initializer phrase, of which there may be as many as there are vectors.
pub(super) fn phrase_ids(phrase: &str, word: &Word, tokenizer: &ClipTokenizer) -> Result<Vec<u32>> {
    let (ids, vectors) = (tokenizer.encode(phrase), word.vectors);
    if ids.is_empty() {
        return Err(Error::Usage(format!("the initializer {shown} has no words in it", shown = quoted(phrase))));
    }
    if ids.len() > vectors {
        let pieces: Vec<String> = ids.iter().map(|id| readable(&tokenizer.bytes_of(*id).0)).collect();
        return Err(Error::InitializerTooLong {
            phrase: phrase.to_owned(),
            tokens: ids.len(),
            pieces: pieces.join(" + "),
            vectors,
            of: word.settings,
        });
    }
    Ok(ids)
}

/// Rows drawn with the mean and deviation of those of a table.
fn drawn(vectors: usize, table: &HostTable, draws: &mut Draws) -> Vec<f32> {
    let (mut mean, mut square) = (vec![0.0f64; table.width()], 0.0);
    for row in 0..table.len() {
        for (mean, value) in mean.iter_mut().zip(table.row(row)) {
            *mean += f64::from(value);
            square += f64::from(value) * f64::from(value);
        }
    }
    let count = table.len().max(1) as f64;
    mean.iter_mut().for_each(|mean| *mean /= count);
    let about_mean = square / (count * table.width() as f64)
        - mean.iter().map(|mean| mean * mean).sum::<f64>() / table.width() as f64;
    let deviation = about_mean.max(0.0).sqrt() as f32;
    (0..vectors)
        .flat_map(|_| mean.iter().map(|mean| *mean as f32 + deviation * draws.normal()).collect::<Vec<_>>())
        .collect()
}
