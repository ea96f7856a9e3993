//! What the vectors start from.

use crate::base::text::quoted;
use crate::config::{Init, TrainConfig, option_name};
use crate::embedding::{Embedding, Vectors};
use crate::model::Model;
use crate::noise::{Draws, Noise, Stream};
use crate::setting::Setting;
use crate::text::{ClipTokenizer, Rows, TextEncoder, readable};
use crate::weights::HostTable;
use crate::{Error, Result};

/// The initial rows, and a note of where they come from.
///
/// A phrase of n tokens fills K >= n vectors in order, each token taking a run of about K/n, as A1111 does. An
/// embedding is taken row by row, its last row repeated. With neither, rows are drawn with the mean and deviation of
/// the vocabulary's.
pub(super) fn rows(config: &TrainConfig, init: &Init, model: &Model) -> Result<(Rows, String)> {
    let mut draws = Noise::new(config.seed).draws(0, Stream::Init);
    let of_encoder = |(i, encoder)| for_encoder(config, init, i, encoder, &mut draws);
    let rows = model.text_encoders.iter().enumerate().map(of_encoder).collect::<Result<Vec<_>>>()?;
    let note = match init {
        Init::Embedding(embedding) => embedding.token.clone(),
        Init::Phrase(phrase) => phrase.clone(),
        Init::Random => format!("random ({})", option_name(&config.kind)),
    };
    Ok((Rows::side_by_side(&rows), note))
}

/// The initial rows for the text encoder with the number `i`.
fn for_encoder(config: &TrainConfig, init: &Init, i: usize, encoder: &TextEncoder, draws: &mut Draws) -> Result<Rows> {
    let table = &encoder.model.token_embedding;
    let (vectors, width) = (config.vectors() as usize, table.width());
    let values = match init {
        Init::Embedding(embedding) => {
            let own = vectors_for(embedding, i, width, vectors)?;
            let row = |k: usize| k.min(own.count() - 1) * width;
            (0..vectors).flat_map(|k| own.rows[row(k)..row(k) + width].to_vec()).collect()
        }
        Init::Phrase(phrase) => {
            let ids = phrase_ids(phrase, vectors, &encoder.tokenizer)?;
            (0..vectors).flat_map(|k| table.row(ids[k * ids.len() / vectors] as usize)).collect()
        }
        Init::Random => drawn(vectors, table, draws),
    };
    Ok(Rows { values, width })
}

/// An embedding's vectors for the text encoder with the number `i`, which takes vectors of a width; there may be as many
/// as there are to be learned.
pub(super) fn vectors_for(embedding: &Embedding, i: usize, width: usize, vectors: usize) -> Result<&Vectors> {
    let own = embedding.encoders.get(i).filter(|own| own.width == width);
    let own = own.ok_or_else(|| Error::Internal(format!("the embedding {} is for another model", embedding.token)))?;
    let has = own.count();
    if has > vectors {
        let (token, option) = (&embedding.token, Setting::Vectors);
        let text = format!(
            "the embedding {shown} has {has} vectors, but {option} is {vectors}: set {option} {has}",
            shown = quoted(token)
        );
        return Err(Error::Usage(text));
    }
    Ok(own)
}

/// The ids of an initializer phrase, of which there may be as many as there are vectors.
pub(super) fn phrase_ids(phrase: &str, vectors: usize, tokenizer: &ClipTokenizer) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(phrase);
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
