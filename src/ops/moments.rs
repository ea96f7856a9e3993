//! Group normalisation of a feature map that is seen in parts: first their moments, then each part.

use burn::tensor::{Tensor, activation::silu};

use super::Norm;

/// Means and variances of a map's groups of channels, collected from bands of its rows.
///
/// Moments of bands are put together as Chan, Golub and LeVeque do (1979), which is exact but for rounding.
pub struct GroupMoments {
    groups: usize,
    /// Of each band: how many numbers of a group it has, and the groups' means and variances, `[1, G]`.
    bands: Vec<(usize, [Tensor<2>; 2])>,
}

impl GroupMoments {
    /// Of no rows yet.
    pub fn new(groups: usize) -> Self {
        Self { groups, bands: Vec::new() }
    }

    /// Adds a band of rows `[1, H, W, C]`.
    pub fn add(&mut self, band: &Tensor<4>) {
        let [_, height, width, channels] = band.dims();
        let count = height * width * (channels / self.groups);
        let mean = self.group_sums(band.clone()) / count as f64;
        let centred = band.clone() - of_channels(&mean, channels);
        let variance = self.group_sums(centred.clone() * centred) / count as f64;
        self.bands.push((count, [mean, variance]));
    }

    /// Sums of the groups of a band, `[1, G]`: along rows first, which keeps a GPU busy and rounding small.
    fn group_sums(&self, band: Tensor<4>) -> Tensor<2> {
        let sums = band.sum_dim(2).sum_dim(1);
        let channels = sums.dims()[3];
        sums.reshape([self.groups, channels / self.groups]).sum_dim(1).reshape([1, self.groups])
    }

    /// The normalisation of any rows of the map that these are the moments of.
    ///
    /// # Panics
    /// If no band was added.
    pub fn into_norm(self, norm: &Norm) -> KnownNorm {
        let total: usize = self.bands.iter().map(|(count, _)| count).sum();
        let share = |count: usize| count as f64 / total as f64;
        let sum = |parts: Vec<Tensor<2>>| Tensor::cat(parts, 0).sum_dim(0);
        let mean = sum(self.bands.iter().map(|(count, [mean, _])| mean.clone() * share(*count)).collect());
        let spread = |(count, [part, variance]): (usize, [Tensor<2>; 2])| {
            let off = part - mean.clone();
            (variance + off.clone() * off) * share(count)
        };
        let variance = sum(self.bands.into_iter().map(spread).collect());
        let gamma = norm.weight.f32();
        let channels = gamma.dims()[0];
        let rstd = of_channels(&(variance + norm.eps).sqrt().recip(), channels);
        KnownNorm {
            mean: of_channels(&mean, channels),
            scale: rstd * gamma.reshape([1, 1, 1, channels]),
            shift: norm.bias.f32().reshape([1, 1, 1, channels]),
        }
    }
}

/// Values of groups `[1, G]` for each of their channels: `[1, 1, 1, C]`.
fn of_channels(groups: &Tensor<2>, channels: usize) -> Tensor<4> {
    let count = groups.dims()[1];
    groups.clone().reshape([count, 1]).repeat_dim(1, channels / count).reshape([1, 1, 1, channels])
}

/// A group normalisation whose moments are known: what it does to each channel, `[1, 1, 1, C]`.
pub struct KnownNorm {
    mean: Tensor<4>,
    scale: Tensor<4>,
    shift: Tensor<4>,
}

impl KnownNorm {
    /// Normalises some rows `[1, H, W, C]`, and applies `silu`.
    pub fn silu(&self, rows: Tensor<4>) -> Tensor<4> {
        silu((rows - self.mean.clone()) * self.scale.clone() + self.shift.clone())
    }
}
