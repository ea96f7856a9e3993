//! Attention over the positions of a feature map and over the words of a prompt.

use super::graph::Transformer;
use crate::Result;
use crate::ops::{
    Linear, Linears, Norm, Var, attention, geglu, group_norm, layer_norm, linear, linear_add, linears, recompute_rows,
};
use crate::weights::Weights;

/// Epsilon of the group norm in front of a transformer, fixed in diffusers.
const NORM_EPS: f64 = 1e-6;
/// Epsilon of the layer norms inside, fixed in diffusers.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Projections around an attention (diffusers `Attention`).
#[derive(Clone)]
struct Attention {
    /// Of `x`: queries and, where that is the context, too, keys and values.
    of_input: Linears,
    /// Of the context, where that is something else: keys and values.
    of_context: Option<Linears>,
    to_out: Linear,
    heads: usize,
}

impl Attention {
    /// `context` is the width of the context; none where that is the input itself.
    async fn load(weights: Weights<'_>, width: usize, context: Option<usize>, heads: usize) -> Result<Self> {
        let named = ["to_q", "to_k", "to_v"].map(|name| (name, width));
        let (of_input, of_context) = named.split_at(if context.is_none() { 3 } else { 1 });
        Ok(Self {
            of_input: Linears::new(weights.linears(of_input, width, false).await?),
            of_context: match context {
                Some(context) => Some(Linears::new(weights.linears(of_context, context, false).await?)),
                None => None,
            },
            to_out: weights.linear("to_out.0", width, width, true).await?,
            heads,
        })
    }

    /// What `x` finds in `context`, added to `residual`.
    fn forward(&self, x: &Var<3>, context: &Var<3>, residual: &Var<3>) -> Var<3> {
        let mut inputs = linears(x, &self.of_input);
        if let Some(of_context) = &self.of_context {
            inputs.extend(linears(context, of_context));
        }
        let [q, k, v] = &inputs[..] else { unreachable!("three were loaded") };
        linear_add(&attention(q, k, v, self.heads, false), &self.to_out, residual)
    }
}

/// Self-attention, cross-attention and a gated MLP (diffusers `BasicTransformerBlock`).
#[derive(Clone)]
struct BasicTransformerBlock {
    norm1: Norm,
    attn1: Attention,
    norm2: Norm,
    attn2: Attention,
    norm3: Norm,
    proj: Linear,
    out: Linear,
}

impl BasicTransformerBlock {
    async fn load(weights: Weights<'_>, width: usize, context: usize, heads: usize) -> Result<Self> {
        let ff = weights.at("ff.net");
        Ok(Self {
            norm1: weights.norm("norm1", width, 1, LAYER_NORM_EPS).await?,
            attn1: Attention::load(weights.at("attn1"), width, None, heads).await?,
            norm2: weights.norm("norm2", width, 1, LAYER_NORM_EPS).await?,
            attn2: Attention::load(weights.at("attn2"), width, Some(context), heads).await?,
            norm3: weights.norm("norm3", width, 1, LAYER_NORM_EPS).await?,
            proj: ff.linear("0.proj", width, 8 * width, true).await?,
            out: ff.linear("2", 4 * width, width, true).await?,
        })
    }

    fn forward(&self, x: &Var<3>, context: &Var<3>, recompute: bool) -> Var<3> {
        // One name for what is only passed on: the next value lets the last one go.
        let mut h = layer_norm(x, &self.norm1);
        let x = self.attn1.forward(&h, &h, x);
        h = layer_norm(&x, &self.norm2);
        let x = self.attn2.forward(&h, context, &x);
        drop(h);
        let [batch, length, width] = x.dims();
        match mlp_rows(batch * length, width, recompute) {
            Some(rows) => {
                let block = self.clone();
                recompute_rows(&x, rows, move |x| block.mlp(x))
            }
            None => self.mlp(&x),
        }
    }

    fn mlp(&self, x: &Var<3>) -> Var<3> {
        let h = geglu(&linear(&layer_norm(x, &self.norm3), &self.proj));
        linear_add(&h, &self.out, x)
    }
}

/// How many rows of an MLP are computed at a time; none if all are. Its inner values are the largest of the network: eight
/// times its input. They do not become larger than half of what a binding has on every WebGPU device; where blocks are
/// computed again to save memory, they are kept smaller.
pub(crate) fn mlp_rows(rows: usize, width: usize, recompute: bool) -> Option<usize> {
    const MIB: usize = 1 << 20;
    let row = 8 * width * size_of::<f32>();
    let (whole, part) = if recompute { (24 * MIB, 6 * MIB) } else { (64 * MIB, 32 * MIB) };
    (rows * row > whole).then(|| (part / row).max(1))
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

    /// `x` `[B, H, W, C]` and the text encoder's hidden states `[B, T, D]` to `[B, H, W, C]`.
    pub fn forward(&self, x: &Var<4>, context: &Var<3>, recompute: bool) -> Var<4> {
        let dims @ [batch, height, width, channels] = x.dims();
        let mut h = group_norm(x, &self.norm).reshape([batch, height * width, channels]);
        h = linear(&h, &self.proj_in);
        for block in &self.transformer_blocks {
            h = block.forward(&h, context, recompute);
        }
        linear_add(&h.reshape(dims), &self.proj_out, x)
    }
}
