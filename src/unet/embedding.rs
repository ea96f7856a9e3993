//! The time embedding.

use burn::tensor::{Device, Tensor};

use super::config::UnetConfig;
use crate::Result;
use crate::ops::{Linear, linear_silu};
use crate::weights::Weights;

/// Sines and cosines of a timestep, then two linear layers (diffusers `Timesteps` and `TimestepEmbedding`).
#[derive(Clone)]
pub(super) struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    channels: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl TimeEmbedding {
    pub async fn load(weights: Weights<'_>, config: &UnetConfig) -> Result<Self> {
        let channels = config.block_out_channels[0];
        Ok(Self {
            linear_1: weights.linear("linear_1", channels, 4 * channels, true).await?,
            linear_2: weights.linear("linear_2", 4 * channels, 4 * channels, true).await?,
            channels,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
        })
    }

    /// `silu` of the embedding of each sample's timestep, `[B, 4 C]`: every block begins with that silu.
    pub fn forward(&self, timesteps: &[f32], device: &Device) -> Tensor<2> {
        let half = self.channels / 2;
        let mut values = Vec::with_capacity(timesteps.len() * self.channels);
        for &t in timesteps {
            let angles = (0..half).map(|i| {
                let exponent = -libm::log(10000.0) * i as f64 / (half as f64 - self.freq_shift);
                f64::from(t) * libm::exp(exponent)
            });
            let (sines, cosines): (Vec<f32>, Vec<f32>) =
                angles.map(|angle| (libm::sin(angle) as f32, libm::cos(angle) as f32)).unzip();
            let (first, second) = if self.flip_sin_to_cos { (cosines, sines) } else { (sines, cosines) };
            values.extend(first.into_iter().chain(second));
            values.resize(values.len() + self.channels % 2, 0.0);
        }
        let x = Tensor::<1>::from_floats(values.as_slice(), device).reshape([timesteps.len(), self.channels]);
        linear_silu(&linear_silu(&x, &self.linear_1), &self.linear_2)
    }
}
