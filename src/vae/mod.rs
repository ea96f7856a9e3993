//! The autoencoder: pictures to latents and back.
//!
//! Follows `AutoencoderKL` of diffusers
//! (<https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/autoencoders/autoencoder_kl.py>). Names
//! of fields are names of weights. Nothing is ever differentiated here.

mod bands;
mod config;
pub mod graph;
pub mod tiling;

use burn::tensor::Tensor;

pub use bands::Budget;
pub(crate) use bands::bytes as map_bytes;
pub use config::VaeConfig;

use self::bands::FeatureMap;
use crate::Result;
use crate::ops::{Conv2d, Linear, Norm, Var, attention_exact, conv2d, group_norm, group_norm_silu, linear, linear_add};
use crate::unet::graph::Stage;
use crate::unet::resnet::{Downsample2D, ResnetBlock2D, Upsample2D};
use crate::weights::Weights;

/// Epsilon of every group norm here, fixed in diffusers.
const EPS: f64 = 1e-6;

/// Attention over all positions with one head (diffusers `Attention` as `UNetMidBlock2D` builds it).
struct MidAttention {
    group_norm: Norm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl MidAttention {
    async fn load(weights: Weights<'_>, channels: usize, groups: usize) -> Result<Self> {
        // Files saved before diffusers 0.12 have older names.
        let old = weights.at("query").has("weight");
        let name = |new: &'static str, before: &'static str| if old { before } else { new };
        Ok(Self {
            group_norm: weights.norm("group_norm", channels, groups, EPS).await?,
            to_q: weights.linear(name("to_q", "query"), channels, channels, true).await?,
            to_k: weights.linear(name("to_k", "key"), channels, channels, true).await?,
            to_v: weights.linear(name("to_v", "value"), channels, channels, true).await?,
            to_out: weights.linear(name("to_out.0", "proj_attn"), channels, channels, true).await?,
        })
    }

    fn forward(&self, x: &Var<4>) -> Var<4> {
        let dims @ [batch, height, width, channels] = x.dims();
        let h = group_norm(x, &self.group_norm).reshape([batch, height * width, channels]);
        let [q, k, v] = [&self.to_q, &self.to_k, &self.to_v].map(|projection| linear(&h, projection));
        linear_add(&attention_exact(&q, &k, &v, 1, false).reshape(dims), &self.to_out, x)
    }
}

/// The block at the lowest resolution.
struct MidBlock {
    resnets: [ResnetBlock2D; 2],
    attention: Option<MidAttention>,
}

impl MidBlock {
    async fn load(weights: Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let (channels, groups) = (config.last_channels(), config.norm_num_groups);
        let resnet = |i: usize| ResnetBlock2D::load(weights.at("resnets").at(i), [channels; 2], groups, EPS);
        Ok(Self {
            resnets: [resnet(0).await?, resnet(1).await?],
            attention: if config.mid_block_add_attention {
                Some(MidAttention::load(weights.at("attentions.0"), channels, groups).await?)
            } else {
                None
            },
        })
    }

    fn forward(&self, x: &Var<4>) -> Var<4> {
        let x = self.resnets[0].forward(x, None);
        let x = match &self.attention {
            Some(attention) => attention.forward(&x),
            None => x,
        };
        self.resnets[1].forward(&x, None)
    }
}

/// The residual blocks of a stage.
async fn resnets(weights: &Weights<'_>, stage: &Stage, groups: usize) -> Result<Vec<ResnetBlock2D>> {
    let mut resnets = Vec::new();
    for (i, layer) in stage.layers.iter().enumerate() {
        let at = weights.at(&stage.path).at("resnets").at(i);
        resnets.push(ResnetBlock2D::load(at, layer.resnet, groups, EPS).await?);
    }
    Ok(resnets)
}

/// What the encoder says of a picture's latents: a normal distribution for each element, `[B, h, w, 4]`, not yet
/// scaled.
pub struct Posterior {
    /// The means.
    pub mean: Tensor<4>,
    /// Logarithms of the variances, clamped as diffusers does.
    pub logvar: Tensor<4>,
}

/// The encoder with its weights: needed only until the pictures are encoded.
pub struct VaeEncoder {
    conv_in: Conv2d,
    down_blocks: Vec<(Vec<ResnetBlock2D>, Option<Downsample2D>)>,
    mid_block: MidBlock,
    conv_norm_out: Norm,
    conv_out: Conv2d,
    quant_conv: Option<Conv2d>,
}

impl VaeEncoder {
    /// Loads `encoder` and `quant_conv`.
    pub async fn load(weights: &Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let at = weights.at("encoder");
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let conv_in = at.conv2d("conv_in", [config.in_channels, channels[0]], 3, 1, [1; 4]).await?;
        let mut down_blocks = Vec::new();
        for stage in graph::encoder(config) {
            let resnets = resnets(weights, &stage, groups).await?;
            let downsampler = if stage.resamples {
                // Padded at the bottom and the right only.
                let at = weights.at(&stage.path).at("downsamplers.0");
                Some(Downsample2D::load(at, stage.channels(), [0, 0, 1, 1]).await?)
            } else {
                None
            };
            down_blocks.push((resnets, downsampler));
        }
        let (last, moments) = (config.last_channels(), 2 * config.latent_channels);
        Ok(Self {
            conv_in,
            down_blocks,
            mid_block: MidBlock::load(at.at("mid_block"), config).await?,
            conv_norm_out: at.norm("conv_norm_out", last, groups, EPS).await?,
            conv_out: at.conv2d("conv_out", [last, moments], 3, 1, [1; 4]).await?,
            quant_conv: if config.use_quant_conv {
                Some(weights.conv2d("quant_conv", [moments; 2], 1, 1, [0; 4]).await?)
            } else {
                None
            },
        })
    }

    /// Encodes pictures `[B, H, W, 3]` in [-1, 1].
    pub fn encode(&self, pixels: &Tensor<4>) -> Posterior {
        self.encode_within(pixels, &Budget::default())
    }

    /// [`VaeEncoder::encode`] with another budget for feature maps.
    pub fn encode_within(&self, pixels: &Tensor<4>, budget: &Budget) -> Posterior {
        let mut map = FeatureMap::of(Var::constant(pixels.clone())).convolved(&self.conv_in, budget);
        for (resnets, downsampler) in &self.down_blocks {
            for resnet in resnets {
                map = map.resnet(resnet, budget);
            }
            if let Some(downsampler) = downsampler {
                map = map.downsampled(downsampler, budget);
            }
        }
        let mut x = self.mid_block.forward(&map.into_whole());
        x = conv2d(&group_norm_silu(&x, &self.conv_norm_out), &self.conv_out);
        if let Some(quant_conv) = &self.quant_conv {
            x = conv2d(&x, quant_conv);
        }
        let moments = x.into_value();
        let half = moments.dims()[3] / 2;
        Posterior { mean: moments.clone().narrow(3, 0, half), logvar: moments.narrow(3, half, half).clamp(-30.0, 20.0) }
    }
}

/// The decoder with its weights.
pub struct VaeDecoder {
    post_quant_conv: Option<Conv2d>,
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<(Vec<ResnetBlock2D>, Option<Upsample2D>)>,
    conv_norm_out: Norm,
    conv_out: Conv2d,
}

impl VaeDecoder {
    /// Loads `decoder` and `post_quant_conv`.
    pub async fn load(weights: &Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let at = weights.at("decoder");
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let (latents, last) = (config.latent_channels, config.last_channels());
        let mut up_blocks = Vec::new();
        for stage in graph::decoder(config) {
            let resnets = resnets(weights, &stage, groups).await?;
            let upsampler = if stage.resamples {
                Some(Upsample2D::load(weights.at(&stage.path).at("upsamplers.0"), stage.channels()).await?)
            } else {
                None
            };
            up_blocks.push((resnets, upsampler));
        }
        Ok(Self {
            post_quant_conv: if config.use_post_quant_conv {
                Some(weights.conv2d("post_quant_conv", [latents; 2], 1, 1, [0; 4]).await?)
            } else {
                None
            },
            conv_in: at.conv2d("conv_in", [latents, last], 3, 1, [1; 4]).await?,
            mid_block: MidBlock::load(at.at("mid_block"), config).await?,
            up_blocks,
            conv_norm_out: at.norm("conv_norm_out", channels[0], groups, EPS).await?,
            conv_out: at.conv2d("conv_out", [channels[0], config.out_channels], 3, 1, [1; 4]).await?,
        })
    }

    /// Decodes unscaled latents `[B, h, w, 4]` to pictures `[B, H, W, 3]`, about in [-1, 1].
    pub fn decode(&self, latents: &Tensor<4>) -> Tensor<4> {
        self.decode_within(latents, &Budget::default())
    }

    /// [`VaeDecoder::decode`] with another budget for feature maps.
    pub fn decode_within(&self, latents: &Tensor<4>, budget: &Budget) -> Tensor<4> {
        let mut x = Var::constant(latents.clone());
        if let Some(post_quant_conv) = &self.post_quant_conv {
            x = conv2d(&x, post_quant_conv);
        }
        x = conv2d(&x, &self.conv_in);
        let mut map = FeatureMap::of(self.mid_block.forward(&x));
        drop(x);
        for (resnets, upsampler) in &self.up_blocks {
            for resnet in resnets {
                map = map.resnet(resnet, budget);
            }
            if let Some(upsampler) = upsampler {
                map = map.upsampled(upsampler, budget);
            }
        }
        map.norm_convolved(&self.conv_norm_out, &self.conv_out, budget).into_whole().into_value()
    }
}
