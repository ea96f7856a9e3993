//! How much of what positions of a picture find in a prompt is of some of its words.
//!
//! In cross-attention every position spreads its attention over the tokens of the prompt. Where a word's share is large, the U-Net
//! draws what the word means: the maps of its tokens show where the thing is (Hertz et al., "Prompt-to-Prompt", 2022, arXiv
//! 2208.01626; Tang et al., "What the DAAM", 2022, arXiv 2210.04885). No kernel tells how attention is spread, and none needs to:
//! attention over values that are 1 for the words' tokens and 0 for all others is their share.

use std::cell::RefCell;

use burn::tensor::Tensor;

use crate::ops::{Var, attention};

/// The side of the feature maps that show best where things are, in positions: larger ones show edges, smaller ones not much.
const SIDE: usize = 16;

/// Looks at the cross-attentions of one forward pass.
pub(super) struct Watch {
    /// 1 for the tokens that are watched, `[B, T]`.
    words: Tensor<2>,
    /// The mean over the heads, `[B, N]` each.
    seen: RefCell<Vec<Tensor<2>>>,
}

impl Watch {
    /// For tokens `[B, T]` that are 1, not 0.
    pub fn new(words: Tensor<2>) -> Self {
        Self { words, seen: RefCell::default() }
    }

    /// Looks at an attention with queries `[B, N, C]` and keys `[B, T, C]`.
    pub fn see(&self, q: &Var<3>, k: &Var<3>, heads: usize) {
        let ([batch, positions, width], tokens) = (q.dims(), k.dims()[1]);
        let values = self.words.clone().reshape([batch, tokens, 1]).repeat_dim(2, width);
        let share = attention(q, k, &Var::constant(values), heads, false).into_value();
        self.seen.borrow_mut().push(share.mean_dim(2).reshape([batch, positions]));
    }

    /// The mean of the square maps whose side is nearest to [`SIDE`], `[B, s, s]`; none if there are none.
    pub fn into_mean(self) -> Option<Tensor<3>> {
        let side = |map: &Tensor<2>| Some(map.dims()[1].isqrt()).filter(|side| side * side == map.dims()[1]);
        let seen = self.seen.into_inner();
        // As a ratio.
        let far = |side: usize| (side.max(SIDE) * 100) / side.clamp(1, SIDE);
        let nearest = seen.iter().filter_map(side).min_by_key(|side| far(*side))?;
        let maps: Vec<Tensor<2>> = seen.into_iter().filter(|map| side(map) == Some(nearest)).collect();
        let ([batch, _], count) = (maps[0].dims(), maps.len() as f32);
        let sum = maps.into_iter().reduce(|sum, map| sum + map)?;
        Some((sum / count).reshape([batch, nearest, nearest]))
    }
}
