//! Attention over the positions of a feature map and over the words of a prompt.

use super::graph::Transformer;
use super::watch::Watch;
use crate::Result;
use crate::ops::{
    Linear, Linears, Mlp, MlpActivation, Norm, NormedLinears, Var, attention, group_norm, linear, linear_add, linears,
    mlp, normed_linears, recompute_rows,
};
use crate::weights::Weights;

/// Epsilon of the group norm in front of a transformer, fixed in diffusers.
const NORM_EPS: f64 = 1e-6;
/// Epsilon of the layer norms inside, fixed in diffusers.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Keys and values of prompts, for each block of a transformer.
pub(super) type KeysAndValues = Vec<Vec<Var<3>>>;

/// What a U-Net, a transformer or a block of it is given of prompts.
pub(super) enum Prompts<'a, Made: ?Sized> {
    /// The text encoder's hidden states `[B, T, D]`.
    States(&'a Var<3>),
    /// The keys and values that were made of them before.
    Made(&'a Made),
}

impl<Made: ?Sized> Clone for Prompts<'_, Made> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Made: ?Sized> Copy for Prompts<'_, Made> {}

impl<'a, Made: ?Sized> Prompts<'a, Made> {
    /// What one of its parts is given.
    pub fn of_part<Part: ?Sized>(self, part: impl FnOnce(&'a Made) -> &'a Part) -> Prompts<'a, Part> {
        match self {
            Prompts::States(states) => Prompts::States(states),
            Prompts::Made(made) => Prompts::Made(part(made)),
        }
    }
}

/// An attention with the projections around it (diffusers `Attention`), behind a normalisation.
#[derive(Clone)]
struct Attention {
    /// Queries of the normalised input and, where that is the context, too, keys and values.
    of_input: NormedLinears,
    /// Keys and values of the context, where that is something else.
    of_context: Option<Linears>,
    to_out: Linear,
    heads: usize,
}

impl Attention {
    /// `context` is the width of the context; none where that is the input itself.
    async fn load(
        weights: Weights<'_>,
        norm: Norm,
        width: usize,
        context: Option<usize>,
        heads: usize,
    ) -> Result<Self> {
        let named = ["to_q", "to_k", "to_v"].map(|name| (name, width));
        let (of_input, of_context) = named.split_at(if context.is_none() { 3 } else { 1 });
        Ok(Self {
            of_input: NormedLinears::new(norm, weights.linears(of_input, width, false).await?),
            of_context: match context {
                Some(context) => Some(Linears::new(weights.linears(of_context, context, false).await?)),
                None => None,
            },
            to_out: weights.linear("to_out.0", width, width, true).await?,
            heads,
        })
    }

    /// Keys and values of a context.
    fn keys_and_values(&self, context: &Var<3>) -> Vec<Var<3>> {
        self.of_context.as_ref().map_or_else(Vec::new, |of_context| linears(context, of_context))
    }

    /// `x`, and what it finds in the keys and values that are given or, without them, in itself; how much of that is of some
    /// words, somebody may watch.
    fn forward(&self, x: &Var<3>, given: &[Var<3>], watch: Option<&Watch>) -> Var<3> {
        let mut inputs = normed_linears(x, &self.of_input);
        inputs.extend_from_slice(given);
        let [q, k, v] = &inputs[..] else { unreachable!("three were loaded") };
        if let Some(watch) = watch {
            watch.see(q, k, self.heads);
        }
        linear_add(&attention(q, k, v, self.heads, false), &self.to_out, x)
    }
}

/// Self-attention, cross-attention and a gated MLP (diffusers `BasicTransformerBlock`).
#[derive(Clone)]
struct BasicTransformerBlock {
    attn1: Attention,
    attn2: Attention,
    mlp: Mlp,
}

impl BasicTransformerBlock {
    async fn load(weights: Weights<'_>, width: usize, context: usize, heads: usize) -> Result<Self> {
        let norm = async |name| weights.norm(name, width, 1, LAYER_NORM_EPS).await;
        let (norm1, norm2, norm3) = (norm("norm1").await?, norm("norm2").await?, norm("norm3").await?);
        let ff = weights.at("ff.net");
        let first = ff.linear("0.proj", width, 8 * width, true).await?;
        let second = ff.linear("2", 4 * width, width, true).await?;
        Ok(Self {
            attn1: Attention::load(weights.at("attn1"), norm1, width, None, heads).await?,
            attn2: Attention::load(weights.at("attn2"), norm2, width, Some(context), heads).await?,
            mlp: Mlp::new(norm3, first, MlpActivation::Geglu, second),
        })
    }

    fn forward(&self, x: &Var<3>, prompts: Prompts<'_, [Var<3>]>, watch: Option<&Watch>, recompute: bool) -> Var<3> {
        // By one name: the next value lets the last one go.
        let mut h = self.attn1.forward(x, &[], None);
        h = match prompts {
            Prompts::States(states) => self.attn2.forward(&h, &self.attn2.keys_and_values(states), watch),
            Prompts::Made(given) => self.attn2.forward(&h, given, watch),
        };
        let [batch, length, width] = h.dims();
        match mlp_rows(batch * length, width, recompute) {
            Some(rows) => {
                let block = self.mlp.clone();
                recompute_rows(&h, rows, move |x| mlp(x, &block))
            }
            None => mlp(&h, &self.mlp),
        }
    }
}

/// How many rows of an MLP are computed at a time; none if all are. Its inner values are the largest of the network: eight
/// times its input. They do not become larger than half of what a binding has on every WebGPU device; where blocks are
/// computed again to save memory, they are kept smaller, yet large enough for products to fill a GPU: with 6 MiB, SDXL's training
/// step took an H100 a quarter longer. All parts but the last have the same size, whole tiles of rows.
pub(crate) fn mlp_rows(rows: usize, width: usize, recompute: bool) -> Option<usize> {
    const MIB: usize = 1 << 20;
    let row = 8 * width * size_of::<f32>();
    let (whole, part) = if recompute { (24 * MIB, 16 * MIB) } else { (64 * MIB, 32 * MIB) };
    const TILE: usize = 128;
    let even = |parts: usize| rows.div_ceil(parts).next_multiple_of(TILE).min(rows);
    (rows * row > whole).then(|| even((rows * row).div_ceil(part)))
}

/// Transformer blocks over the positions of a feature map (diffusers `Transformer2DModel`).
#[derive(Clone)]
pub(super) struct Transformer2DModel {
    norm: Norm,
    proj_in: Linear,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Linear,
}

impl Transformer2DModel {
    /// `groups`: of the normalisation in front of it.
    pub async fn load(weights: Weights<'_>, shape: &Transformer, groups: usize) -> Result<Self> {
        let Transformer { width, context, heads, blocks } = *shape;
        let mut transformer_blocks = Vec::new();
        for i in 0..blocks {
            let block = weights.at("transformer_blocks").at(i);
            transformer_blocks.push(BasicTransformerBlock::load(block, width, context, heads).await?);
        }
        // A 1x1 convolution (SD 1.x) and a linear layer (SD 2.x) are the same in channels-last memory.
        Ok(Self {
            norm: weights.norm("norm", width, groups, NORM_EPS).await?,
            proj_in: weights.linear("proj_in", width, width, true).await?,
            transformer_blocks,
            proj_out: weights.linear("proj_out", width, width, true).await?,
        })
    }

    /// The keys and values that the blocks make of the text encoder's hidden states `[B, T, D]`.
    pub fn keys_and_values(&self, states: &Var<3>) -> KeysAndValues {
        self.transformer_blocks.iter().map(|block| block.attn2.keys_and_values(states)).collect()
    }

    /// `x` `[B, H, W, C]` and the prompts to `[B, H, W, C]`.
    pub fn forward(
        &self,
        x: &Var<4>,
        prompts: Prompts<'_, KeysAndValues>,
        watch: Option<&Watch>,
        recompute: bool,
    ) -> Var<4> {
        let dims @ [batch, height, width, channels] = x.dims();
        let mut h = group_norm(x, &self.norm).reshape([batch, height * width, channels]);
        h = linear(&h, &self.proj_in);
        for (i, block) in self.transformer_blocks.iter().enumerate() {
            h = block.forward(&h, prompts.of_part(|made| &made[i][..]), watch, recompute);
        }
        linear_add(&h.reshape(dims), &self.proj_out, x)
    }
}
