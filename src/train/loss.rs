//! The diffusion loss, and what differentiating it would take.

use burn::tensor::Tensor;

use super::choices::Sample;
use crate::layout;
use crate::model::{Model, ModelConfig};
use crate::ops::{Var, mse};
use crate::text::Prompt;

/// Mean squared error of the U-Net's prediction for noised latents, `[1]`; with `snr_gamma` each sample is weighted
/// (arXiv 2303.09556).
pub(super) fn diffusion_loss(
    model: &Model,
    samples: &[Sample],
    prompts: &[Prompt],
    rows: &Var<2>,
    snr_gamma: Option<f64>,
    recompute: bool,
) -> Var<1> {
    let schedule = &model.schedule;
    let [height, width] = samples[0].size;
    let shape = [samples.len(), model.config.vae.latent_channels, height, width];
    let gather = |pick: fn(&Sample) -> &Vec<f32>| {
        let values: Vec<f32> = samples.iter().flat_map(|sample| pick(sample).iter().copied()).collect();
        layout::channels_last(&values, shape, &model.device)
    };
    let (latents, noise) = (gather(|sample| &sample.latents), gather(|sample| &sample.noise));
    let timesteps: Vec<usize> = samples.iter().map(|sample| sample.timestep).collect();
    let noised = schedule.add_noise(&latents, &noise, &timesteps);
    let target = schedule.target(&latents, &noise, &timesteps);
    let context = model.encode_prompts(prompts, rows, recompute);
    let times: Vec<f32> = timesteps.iter().map(|t| *t as f32).collect();
    let prediction = model.unet.forward(&noised, &times, &context, recompute);
    let weights = snr_gamma.map(|gamma| {
        let weights = schedule.loss_weights(&timesteps, Some(gamma));
        Tensor::<1>::from_floats(weights.as_slice(), &model.device).reshape([samples.len(), 1, 1, 1])
    });
    mse(&prediction, target, weights)
}

/// About how many bytes the backward pass keeps when nothing is recomputed.
///
/// Counts what the ops keep: a residual block its two inputs to normalisation, a transformer about twenty feature maps
/// (queries, keys, values, the gated MLP's eightfold width). Good to a factor of two, which is all the choice needs.
pub(super) fn tape_bytes(config: &ModelConfig, side: u32, batch: u32) -> u64 {
    let unet = &config.unet;
    let side = u64::from(side) / config.vae.pixels_per_latent() as u64;
    let levels = unet.block_out_channels.iter().enumerate().map(|(level, &channels)| {
        let positions = (side >> level).pow(2);
        let layers = 2 * unet.layers_per_block.at(level) as u64 + 2;
        let crossed = unet.down_block_types[level].starts_with("Cross");
        let maps = if crossed { 24 } else { 4 };
        positions * channels as u64 * layers * maps
    });
    4 * u64::from(batch) * levels.sum::<u64>()
}
