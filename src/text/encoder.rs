//! A text encoder with the tokenizer that belongs to it.

use burn::tensor::{Device, Int, Tensor};

use super::clip::{ClipTextModel, Encoded, Manner};
use super::prompt::{Chunk, Tokens};
use super::tokenizer::ClipTokenizer;
use super::weights::{self, Lessened};
use crate::config::{Pooling, PromptSyntax};
use crate::ops::{Var, splice};
use crate::parts::Part;

/// One of the text encoders of a model.
pub struct TextEncoder {
    /// Which part of the model it is.
    pub part: Part,
    /// Its tokenizer, without learned words.
    pub tokenizer: ClipTokenizer,
    /// The network.
    pub model: ClipTextModel,
}

/// How prompts are encoded.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// Which token's state stands for a whole prompt.
    pub pooling: Pooling,
    /// From which layer the states are taken, counted from the last, which is 1.
    pub clip_skip: u32,
    /// Whether layers are run again in the backward pass.
    pub recompute: bool,
}

impl From<(Pooling, bool)> for Encoding {
    /// As models are trained: of the last layer that they use.
    fn from((pooling, recompute): (Pooling, bool)) -> Self {
        Self { pooling, clip_skip: 1, recompute }
    }
}

/// Some prompts for one text encoder.
pub(crate) struct Batch<'a> {
    /// Each with the language that says what its weights do.
    pub prompts: Vec<(&'a Tokens, PromptSyntax)>,
    /// How many stretches each has: shorter ones are filled up with those of the empty prompt.
    pub chunks: usize,
    /// Rows of the learned words, `[K, D]`.
    pub rows: &'a Var<2>,
    pub device: &'a Device,
}

impl TextEncoder {
    /// Width of its token embeddings, which is that of its hidden states.
    pub fn width(&self) -> usize {
        self.model.token_embedding.width()
    }

    /// What it makes of prompts: states `[B, n T, D]` of all stretches, weighed, and of each prompt's first stretch a vector
    /// without weights. Gradients reach the rows through prompts of one stretch without weights, as captions are.
    pub(crate) fn encode(&self, batch: &Batch<'_>, pooling: Pooling, eos_token_id: u32, manner: &Manner) -> Encoded {
        let Batch { prompts, chunks, .. } = batch;
        let filling = self.tokenizer.prompt("");
        let mut all: Vec<&Chunk> = Vec::new();
        for (tokens, _) in prompts {
            let missing = chunks.saturating_sub(tokens.chunks.len());
            all.extend(tokens.chunks.iter().chain(std::iter::repeat_n(filling.first(), missing)));
        }
        let weighted = prompts.iter().any(|(tokens, _)| tokens.is_weighted());
        // Encoded with the others, for those languages that start from it.
        all.extend(weighted.then_some(filling.first()));
        let ends: Vec<usize> = all.iter().map(|chunk| chunk.pooled_at(pooling, eos_token_id)).collect();
        let encoded = self.run(&all, batch, &ends, manner);
        if *chunks == 1 && !weighted {
            return encoded;
        }
        let states = encoded.states.into_value();
        let [_, length, width] = states.dims();
        let empty = states.clone().narrow(0, all.len() - 1, 1);
        let each = prompts.iter().enumerate().map(|(number, (tokens, syntax))| {
            let first = number * chunks;
            let own = states.clone().narrow(0, first, *chunks);
            if !tokens.is_weighted() {
                return own;
            }
            let own_chunks = &all[first..first + chunks];
            match syntax {
                PromptSyntax::A1111 => weights::with_mean_kept(own, own_chunks),
                PromptSyntax::ComfyUi => weights::from_empty(own, &empty, own_chunks),
                PromptSyntax::Compel => self.between(own, &empty, own_chunks, batch, manner),
                PromptSyntax::Plain => own,
            }
        });
        let states = Tensor::cat(each.collect(), 0).reshape([prompts.len(), chunks * length, width]);
        let firsts: Vec<i32> = (0..prompts.len()).map(|number| (number * chunks) as i32).collect();
        let firsts = Tensor::<1, Int>::from_ints(firsts.as_slice(), batch.device);
        let pooled = encoded.pooled.map(|pooled| Var::constant(pooled.into_value().select(0, firsts)));
        Encoded { states: Var::constant(states), pooled }
    }

    /// A prompt's states `[n, T, D]` as compel weighs them.
    fn between(
        &self,
        states: Tensor<3>,
        empty: &Tensor<3>,
        chunks: &[&Chunk],
        batch: &Batch<'_>,
        manner: &Manner,
    ) -> Tensor<3> {
        let lessened = Lessened::of(chunks);
        let without = lessened.iter().map(|lessened| {
            let each = lessened.at.iter().map(|(number, places)| {
                let chunk = chunks[*number];
                let hidden = (0..chunk.ids.len()).map(|place| f32::from(u8::from(places.contains(&place))));
                let hidden = Tensor::<1>::from_floats(hidden.collect::<Vec<_>>().as_slice(), batch.device);
                let manner = Manner { hidden: Some(hidden.reshape([1, chunk.ids.len()])), ..manner.clone() };
                let states = self.run(&[chunk], batch, &[chunk.end], &manner).states.into_value();
                weights::from_empty(states, empty, &[chunk])
            });
            each.collect()
        });
        let without = without.collect();
        weights::between(weights::from_empty(states, empty, chunks), &lessened, without)
    }

    /// What the network makes of stretches. `ends` are the places of the tokens that a vector for the whole is taken from.
    fn run(&self, chunks: &[&Chunk], batch: &Batch<'_>, ends: &[usize], manner: &Manner) -> Encoded {
        let table = &self.model.token_embedding;
        let (count, width) = (chunks.len(), table.width());
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for (position, &id) in chunks.iter().flat_map(|chunk| &chunk.ids).enumerate() {
            // Ids beyond the vocabulary are rows of learned words.
            match (id as usize).checked_sub(table.len()) {
                Some(row) => {
                    places.push((position, row));
                    values.resize(values.len() + width, 0.0);
                }
                None => values.extend(table.row(id as usize)),
            }
        }
        let length = values.len() / (count * width).max(1);
        let base = Tensor::<1>::from_floats(values.as_slice(), batch.device).reshape([count, length, width]);
        self.model.forward(&splice(base, batch.rows, &places), ends, manner)
    }
}
