//! The U-Net: predicts the noise in latents, given a timestep and a prompt's hidden states.
//!
//! Follows `UNet2DConditionModel` of diffusers
//! (<https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/unets/unet_2d_condition.py>). Names of
//! fields are names of weights. Feature maps are `[B, H, W, C]`.

mod config;
mod embedding;
pub(crate) mod resnet;
mod transformer;

use std::rc::Rc;

use burn::tensor::{DType, Tensor};

pub use config::{PerLevel, UnetConfig};
use embedding::TimeEmbedding;
use resnet::{Downsample2D, ResnetBlock2D, Upsample2D};
use transformer::Transformer2DModel;

use crate::Result;
use crate::ops::{Conv2d, Norm, Var, concat_channels, conv2d, group_norm_silu, recompute};
use crate::weights::Weights;

/// Residual blocks, each perhaps followed by a transformer, at one resolution.
struct Block {
    resnets: Vec<Rc<ResnetBlock2D>>,
    attentions: Vec<Rc<Transformer2DModel>>,
}

/// The U-Net with its weights.
pub struct Unet {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<(Block, Option<Downsample2D>)>,
    mid_block: Block,
    up_blocks: Vec<(Block, Option<Upsample2D>)>,
    conv_norm_out: Norm,
    conv_out: Conv2d,
}

/// What every block of one forward pass shares.
struct Pass<'a> {
    /// `silu` of the time embedding, `[B, 4 C]`.
    time: Tensor<2>,
    /// Hidden states of the prompts, `[B, T, D]`.
    context: &'a Var<3>,
    /// Whether blocks are run again in the backward pass.
    recompute: bool,
}

impl Block {
    /// Loads a block whose residual blocks have these `[in, out]` channels.
    async fn load(
        weights: &Weights<'_>,
        config: &UnetConfig,
        channels: &[[usize; 2]],
        attention: Option<(usize, usize)>,
    ) -> Result<Self> {
        let time = Some(4 * config.block_out_channels[0]);
        let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
        for (i, &channels) in channels.iter().enumerate() {
            let resnet = weights.at("resnets").at(i);
            let resnet = ResnetBlock2D::load(resnet, channels, time, config.norm_num_groups, config.norm_eps).await?;
            resnets.push(Rc::new(resnet));
        }
        if let Some((level, count)) = attention {
            for i in 0..count {
                let attention = weights.at("attentions").at(i);
                attentions.push(Rc::new(Transformer2DModel::load(attention, config, level).await?));
            }
        }
        Ok(Self { resnets, attentions })
    }

    fn resnet(&self, i: usize, x: &Var<4>, pass: &Pass<'_>) -> Var<4> {
        if !pass.recompute {
            return self.resnets[i].forward(x, Some(&pass.time));
        }
        let (resnet, time) = (self.resnets[i].clone(), pass.time.clone());
        recompute(x, x, move |x: &Var<4>, _: &Var<4>| resnet.forward(x, Some(&time)))
    }

    fn attention(&self, i: usize, x: &Var<4>, pass: &Pass<'_>) -> Var<4> {
        let Some(attention) = self.attentions.get(i) else { return x.clone() };
        if !pass.recompute {
            return attention.forward(x, pass.context);
        }
        let attention = attention.clone();
        recompute(x, pass.context, move |x: &Var<4>, context: &Var<3>| attention.forward(x, context))
    }
}

impl Unet {
    /// Loads the U-Net.
    pub async fn load(weights: &Weights<'_>, config: &UnetConfig) -> Result<Self> {
        let channels = &config.block_out_channels;
        let (levels, first, last) = (channels.len(), channels[0], channels[channels.len() - 1]);
        let conv_in = weights.conv2d("conv_in", [config.in_channels, first], 3, 1, [1; 4]).await?;
        let time_embedding = TimeEmbedding::load(weights.at("time_embedding"), config).await?;

        let mut down_blocks = Vec::new();
        // Channels of everything that the way up will be joined with, in the order in which it is made.
        let mut skips = vec![first];
        for (level, &outputs) in channels.iter().enumerate() {
            let at = weights.at("down_blocks").at(level);
            let inputs = channels[level.saturating_sub(1)];
            let layers = config.layers_per_block.at(level);
            let sizes: Vec<_> = (0..layers).map(|i| [if i == 0 { inputs } else { outputs }, outputs]).collect();
            let crossed = config.down_block_types[level] == "CrossAttnDownBlock2D";
            let block = Block::load(&at, config, &sizes, crossed.then_some((level, layers))).await?;
            skips.extend(vec![outputs; layers]);
            let downsampler = if level + 1 < levels {
                skips.push(outputs);
                let padding = [config.downsample_padding; 4];
                Some(Downsample2D::load(at.at("downsamplers.0"), outputs, padding).await?)
            } else {
                None
            };
            down_blocks.push((block, downsampler));
        }

        let mid_block = Block::load(&weights.at("mid_block"), config, &[[last; 2]; 2], Some((levels - 1, 1))).await?;

        let mut up_blocks = Vec::new();
        let mut inputs = last;
        for (i, level) in (0..levels).rev().enumerate() {
            let at = weights.at("up_blocks").at(i);
            let outputs = channels[level];
            let layers = config.layers_per_block.at(level) + 1;
            let mut sizes = Vec::new();
            for _ in 0..layers {
                sizes.push([inputs + skips.pop().unwrap_or(0), outputs]);
                inputs = outputs;
            }
            let crossed = config.up_block_types[i] == "CrossAttnUpBlock2D";
            let block = Block::load(&at, config, &sizes, crossed.then_some((level, layers))).await?;
            let upsampler = match level {
                0 => None,
                _ => Some(Upsample2D::load(at.at("upsamplers.0"), outputs).await?),
            };
            up_blocks.push((block, upsampler));
        }
        let conv_norm_out = weights.norm("conv_norm_out", first, config.norm_num_groups, config.norm_eps).await?;
        let conv_out = weights.conv2d("conv_out", [first, config.out_channels], 3, 1, [1; 4]).await?;
        Ok(Self { conv_in, time_embedding, down_blocks, mid_block, up_blocks, conv_norm_out, conv_out })
    }

    /// Whether its matrices are kept in half precision.
    pub fn is_half(&self) -> bool {
        self.conv_in.weight.dtype() == DType::F16
    }

    /// Predicts noise (or velocity) `[B, H, W, 4]` in `sample` `[B, H, W, 4]`, each sample at its own timestep, for prompts
    /// with hidden states `context` `[B, T, D]`.
    ///
    /// With `recompute`, blocks remember only their inputs and are run again in the backward pass.
    pub fn forward(&self, sample: &Tensor<4>, timesteps: &[f32], context: &Var<3>, recompute: bool) -> Var<4> {
        let time = self.time_embedding.forward(timesteps, &sample.device());
        let pass = Pass { time, context, recompute };
        let mut x = conv2d(&Var::constant(sample.clone()), &self.conv_in);
        let mut skips = vec![x.clone()];
        for (block, downsampler) in &self.down_blocks {
            for i in 0..block.resnets.len() {
                x = block.attention(i, &block.resnet(i, &x, &pass), &pass);
                skips.push(x.clone());
            }
            if let Some(downsampler) = downsampler {
                x = downsampler.forward(&x);
                skips.push(x.clone());
            }
        }
        x = self.mid_block.resnet(0, &x, &pass);
        x = self.mid_block.attention(0, &x, &pass);
        x = self.mid_block.resnet(1, &x, &pass);
        for (block, upsampler) in &self.up_blocks {
            for i in 0..block.resnets.len() {
                if let Some(skip) = skips.pop() {
                    x = concat_channels(&x, &skip);
                }
                x = block.attention(i, &block.resnet(i, &x, &pass), &pass);
            }
            if let Some(upsampler) = upsampler {
                x = upsampler.forward(&x);
            }
        }
        conv2d(&group_norm_silu(&x, &self.conv_norm_out), &self.conv_out)
    }
}
