//! A text encoder with the tokenizer that belongs to it.

use burn::tensor::{Device, Tensor};

use super::clip::{ClipTextModel, Encoded};
use super::prompt::Tokens;
use super::tokenizer::ClipTokenizer;
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

impl TextEncoder {
    /// Width of its token embeddings, which is that of its hidden states.
    pub fn width(&self) -> usize {
        self.model.token_embedding.width()
    }

    /// What it makes of prompts of the same length, with `rows` `[K, D]` for the learned words. `ends` are the places of the
    /// tokens that a vector for the whole prompt is taken from.
    pub fn encode<'a>(
        &self,
        prompts: impl ExactSizeIterator<Item = &'a Tokens>,
        rows: &Var<2>,
        ends: &[usize],
        recompute: bool,
        device: &Device,
    ) -> Encoded {
        let table = &self.model.token_embedding;
        let (batch, width) = (prompts.len(), table.width());
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for (position, &id) in prompts.flat_map(|tokens| &tokens.ids).enumerate() {
            // Ids beyond the vocabulary are rows of learned words.
            match (id as usize).checked_sub(table.len()) {
                Some(row) => {
                    places.push((position, row));
                    values.resize(values.len() + width, 0.0);
                }
                None => values.extend(table.row(id as usize)),
            }
        }
        let length = values.len() / (batch * width).max(1);
        let base = Tensor::<1>::from_floats(values.as_slice(), device).reshape([batch, length, width]);
        self.model.forward(&splice(base, rows, &places), ends, recompute)
    }
}
