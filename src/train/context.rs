//! The context-embedding loss of CoRe (AAAI 2025): what keeps the rest of a prompt alive.
//!
//! A scene, "a {} on a beach", is encoded once with the new word in it and once with the phrase that the word starts from.
//! A word that drowns the prompt changes what the encoder makes of "on a beach"; the loss is how far these tokens have
//! turned away from those beside the phrase, 1 - cosine. It needs no U-Net and no picture.
//!
//! Only tokens behind the word are compared, up to the end token: the encoder is causal, so those before it are the same
//! whatever the word is. The word has as many tokens as it has vectors and the phrase as many as it has, so tokens are
//! paired by their order from the end. CoRe takes the cosine over tokens, for each feature; here it is over the features,
//! for each token, and the mean of all tokens of all scenes. Of models with two text encoders it is the mean of both.

use super::sample::Sample;
use super::scenes;
use super::templates::{fill_all, swapped};
use super::words::{Word, Words};
use crate::config::{Pooling, TrainConfig};
use crate::model::Model;
use crate::ops::{Var, columns, rows_at, unlikeness};
use crate::text::{Batch, Chunk, Manner, Prompt, TextEncoder};

/// What a word is compared with, and how much that counts.
pub(super) struct Context {
    /// What the loss is multiplied by.
    pub weight: f64,
    /// What stands beside the words: the words that the rows started from or, of rows that did not, the token.
    phrases: Vec<String>,
}

impl Context {
    /// None if the weight is zero, or the rows did not start from words.
    pub fn new(config: &TrainConfig, words: &Words) -> Option<Self> {
        let weight = config.context_weight.unwrap_or_default();
        let wanted = weight > 0.0 && words.iter().any(|word| word.phrase().is_some());
        let phrases = words.iter().map(|word| word.phrase().unwrap_or(&word.token).to_owned()).collect();
        wanted.then_some(Self { weight, phrases })
    }

    /// The scenes of the samples, each with the token in it and with the phrase.
    pub fn captions(&self, samples: &[Sample], words: &Words) -> Vec<[String; 2]> {
        let scenes = samples.iter().filter_map(|sample| sample.scene.as_deref());
        let phrases: Vec<&str> = self.phrases.iter().map(String::as_str).collect();
        scenes.map(|scene| [words.fill(scene), fill_all(scene, &phrases)]).collect()
    }
}

/// How far the tokens behind a learned word have turned away from those behind a phrase, `[1]`: of pairs of prompts that
/// differ in nothing else, with the learned word as `rows` `[K, D]`. None if no pair has tokens to compare.
pub fn loss(model: &Model, pairs: &[[Prompt; 2]], rows: &Var<2>, recompute: bool) -> Option<Var<1>> {
    let widths: Vec<usize> = model.text_encoders.iter().map(TextEncoder::width).collect();
    let (mut sum, mut count) = (None::<Var<1>>, 0);
    for (i, (encoder, rows)) in model.text_encoders.iter().zip(columns(rows, &widths)).enumerate() {
        let known = encoder.model.token_embedding.len();
        let chunks = |which: usize| pairs.iter().map(move |pair| pair[which].encoders[i].first());
        let mut places = [Vec::new(), Vec::new()];
        for (number, (word, phrase)) in chunks(0).zip(chunks(1)).enumerate() {
            for at in compared(word, phrase, known) {
                places[0].push(number * word.ids.len() + at[0]);
                places[1].push(number * phrase.ids.len() + at[1]);
            }
        }
        if places[0].is_empty() {
            continue;
        }
        let states = |which: usize, rows: &Var<2>| {
            let prompts = pairs.iter().map(|pair| (&pair[which].encoders[i], pair[which].syntax)).collect();
            let batch = Batch { prompts, chunks: 1, rows, device: &model.device };
            let eos = model.config.text_encoders[i].eos_token_id;
            let manner = Manner { recompute, ..Manner::default() };
            rows_at(&encoder.encode(&batch, Pooling::End, eos, &manner).states, &places[which])
        };
        let without = Var::constant(rows.value().clone());
        let apart = unlikeness(&states(0, &rows), states(1, &without).into_value());
        sum = Some(sum.map_or_else(|| apart.clone(), |sum| sum.add(&apart)));
        count += 1;
    }
    Some(sum?.scaled(1.0 / f64::from(count)))
}

/// The places of tokens that are compared: behind the learned word, whose ids are from `known` on, and as many behind the
/// phrase, from the end token back as far as they are the same tokens.
fn compared(word: &Chunk, phrase: &Chunk, known: usize) -> Vec<[usize; 2]> {
    let Some(last) = word.ids[..=word.end].iter().rposition(|id| *id as usize >= known) else { return Vec::new() };
    let back = |steps: usize| Some([word.end.checked_sub(steps)?, phrase.end.checked_sub(steps)?]);
    let pairs = (0..word.end - last).map_while(back);
    pairs.take_while(|[a, b]| word.ids[*a] == phrase.ids[*b]).collect()
}

/// The scenes that samples are given, if the rest of a prompt counts: for each word that starts from words, each with a place for that.
pub(super) fn scenes_for(context: Option<&Context>, words: &Words, model: &Model) -> Vec<String> {
    let family = model.config.usual_family();
    let of_word = |(number, word): (usize, &Word)| {
        let scenes = scenes::scenes(word.kind, family).into_iter();
        scenes.map(move |scene| if number == 0 { scene } else { swapped(&scene) })
    };
    let compared = words.iter().enumerate().filter(|(_, word)| word.phrase().is_some());
    context.map_or_else(Vec::new, |_| compared.flat_map(of_word).collect())
}
