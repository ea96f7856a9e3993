//! What a word starts from.

use super::serde_name;
use crate::config::TrainConfig;
use crate::embedding::Embedding;
use crate::model::Model;
use crate::noise::{Noise, Stream};
use crate::text::ClipTokenizer;
use crate::{Error, Result};

/// The initial rows `[K, D]`, and a note of where they come from.
///
/// A phrase of n tokens fills K >= n vectors in order, each token taking a run of about K/n, as A1111 does. An embedding is
/// taken row by row, its last row repeated. With neither, rows are drawn with the mean and deviation of the vocabulary's.
pub(super) fn rows(
    config: &TrainConfig,
    tokenizer: &ClipTokenizer,
    model: &Model,
    embedding: Option<&Embedding>,
) -> Result<(Vec<f32>, String)> {
    let table = &model.text().model.token_embedding;
    let (vectors, width) = (config.vectors as usize, table.width());
    if let Some(embedding) = embedding {
        if embedding.width() != width {
            return Err(Error::WrongWidth {
                file: embedding.token.clone(),
                width: embedding.width(),
                family: Embedding::family(embedding.width()).to_owned(),
                expected: width,
            });
        }
        if embedding.vectors() > vectors {
            let (has, token) = (embedding.vectors(), &embedding.token);
            let text =
                format!("the embedding {token:?} has {has} vectors, but --vectors is {vectors}: give --vectors {has}");
            return Err(Error::Usage(text));
        }
        let rows = (0..vectors).flat_map(|i| {
            let row = i.min(embedding.vectors() - 1);
            embedding.rows()[row * width..(row + 1) * width].to_vec()
        });
        return Ok((rows.collect(), embedding.token.clone()));
    }
    let Some(phrase) = &config.init else {
        return Ok((drawn(config, model), format!("random ({})", serde_name(&config.kind))));
    };
    let ids = ids(config, tokenizer)?;
    let rows = (0..vectors).flat_map(|i| table.row(ids[i * ids.len() / vectors] as usize));
    Ok((rows.collect(), phrase.clone()))
}

/// The ids of the initialiser's words, at most one for each vector; none if there is no phrase, or a file is meant.
pub(super) fn ids(config: &TrainConfig, tokenizer: &ClipTokenizer) -> Result<Vec<u32>> {
    let vectors = config.vectors as usize;
    let Some(phrase) = &config.init else { return Ok(Vec::new()) };
    let ids = tokenizer.encode(phrase);
    if ids.is_empty() {
        return Err(Error::Usage(format!("the initialiser {phrase:?} has no words in it")));
    }
    if ids.len() > vectors {
        let pieces: Vec<String> = ids.iter().map(|id| tokenizer.spell(*id).replace("</w>", "")).collect();
        return Err(Error::InitialiserTooLong {
            phrase: phrase.clone(),
            tokens: ids.len(),
            pieces: pieces.join(" + "),
            vectors,
        });
    }
    Ok(ids)
}

fn drawn(config: &TrainConfig, model: &Model) -> Vec<f32> {
    let table = &model.text().model.token_embedding;
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
    let mut draws = Noise::new(config.seed).draws(0, Stream::Init);
    (0..config.vectors)
        .flat_map(|_| mean.iter().map(|mean| *mean as f32 + deviation * draws.normal()).collect::<Vec<_>>())
        .collect()
}
