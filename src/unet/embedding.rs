//! The time embedding, and what is added to it.

use burn::tensor::{Device, Tensor};

use super::TimeIds;
use super::config::{Added, TIME_IDS, UnetConfig};
use crate::Result;
use crate::ops::{Linear, Var, linear, linear_add, linear_silu, side_by_side, silu};
use crate::weights::{Stored, Weights};

/// Sines and cosines of some numbers (diffusers `Timesteps`).
#[derive(Clone, Copy)]
struct Sinusoids {
    /// How many for each number.
    width: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
}

impl Sinusoids {
    fn new(width: usize, config: &UnetConfig) -> Self {
        Self { width, flip_sin_to_cos: config.flip_sin_to_cos, freq_shift: config.freq_shift }
    }

    /// Of each number, one after the other.
    fn of(self, numbers: impl Iterator<Item = f32>) -> Vec<f32> {
        let half = self.width / 2;
        let mut values = Vec::new();
        for number in numbers {
            let angles = (0..half).map(|i| {
                let exponent = -libm::log(10000.0) * i as f64 / (half as f64 - self.freq_shift);
                f64::from(number) * libm::exp(exponent)
            });
            let (sines, cosines): (Vec<f32>, Vec<f32>) =
                angles.map(|angle| (libm::sin(angle) as f32, libm::cos(angle) as f32)).unzip();
            let (first, second) = if self.flip_sin_to_cos { (cosines, sines) } else { (sines, cosines) };
            values.extend(first.into_iter().chain(second));
            values.resize(values.len() + self.width % 2, 0.0);
        }
        values
    }
}

/// Sinusoids of a timestep, then two linear layers (diffusers `TimestepEmbedding`).
#[derive(Clone)]
pub(super) struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    sinusoids: Sinusoids,
}

impl TimeEmbedding {
    /// How its matrices are stored: as those of the whole U-Net are, the first and the last convolution aside.
    pub fn stored(&self) -> Stored {
        Stored::of_tensor(self.linear_2.weight.dtype())
    }

    pub async fn load(weights: Weights<'_>, config: &UnetConfig) -> Result<Self> {
        let channels = config.block_out_channels[0];
        Ok(Self {
            linear_1: weights.linear("linear_1", channels, 4 * channels, true).await?,
            linear_2: weights.linear("linear_2", 4 * channels, 4 * channels, true).await?,
            sinusoids: Sinusoids::new(channels, config),
        })
    }

    /// `silu` of the embedding of each sample's timestep and of what is `added` to it, `[B, 4 C]`: every block begins with that
    /// silu.
    pub fn forward(&self, timesteps: &[f32], added: Option<&Var<2>>, device: &Device) -> Var<2> {
        let values = self.sinusoids.of(timesteps.iter().copied());
        let x = Tensor::<1>::from_floats(values.as_slice(), device).reshape([timesteps.len(), self.sinusoids.width]);
        let x = linear_silu(&x, &self.linear_1);
        match added {
            None => Var::constant(linear_silu(&x, &self.linear_2)),
            Some(added) => silu(&linear_add(&Var::constant(x), &self.linear_2, added)),
        }
    }
}

/// What SDXL adds to the time embedding: a prompt's vector and the sizes of the picture, through two linear layers (diffusers
/// `add_embedding`).
#[derive(Clone)]
pub(super) struct AddedEmbedding {
    linear_1: Linear,
    linear_2: Linear,
    sinusoids: Sinusoids,
}

impl AddedEmbedding {
    pub async fn load(weights: Weights<'_>, config: &UnetConfig, shape: Added) -> Result<Self> {
        let time = 4 * config.block_out_channels[0];
        Ok(Self {
            linear_1: weights.linear("linear_1", shape.width(), time, true).await?,
            linear_2: weights.linear("linear_2", time, time, true).await?,
            sinusoids: Sinusoids::new(shape.sinusoid, config),
        })
    }

    /// Of vectors `text_embeds` `[B, P]` and sizes: `[B, 4 C]`.
    pub fn forward(&self, text_embeds: &Var<2>, time_ids: &[TimeIds]) -> Var<2> {
        let values = self.sinusoids.of(time_ids.iter().flatten().copied());
        let shape = [time_ids.len(), TIME_IDS * self.sinusoids.width];
        let sizes = Tensor::<1>::from_floats(values.as_slice(), &text_embeds.value().device()).reshape(shape);
        let both = side_by_side(&[text_embeds.clone(), Var::constant(sizes)]);
        linear(&silu(&linear(&both, &self.linear_1)), &self.linear_2)
    }
}
