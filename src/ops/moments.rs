//! Group normalisation of a feature map that is seen in parts: first their moments, then each part.

use burn::tensor::{Tensor, activation::silu};

use super::{Backend, Norm, wgsl};

/// Means and variances of a map's groups of channels, collected from bands of its rows.
///
/// Moments of parts are put together as Chan, Golub and LeVeque do (1979), which is exact but for rounding.
pub struct GroupMoments {
    norm: Norm,
    spans: Vec<Spans>,
}

/// What is known of some positions, a number of spans of them.
struct Spans {
    /// How many values of a group each span has.
    counts: Vec<usize>,
    /// Means of groups in each span, `[G, spans]`.
    means: Tensor<2>,
    /// Sums of the squares of what values are from them, `[G, spans]`.
    squares: Tensor<2>,
}

impl Spans {
    /// By a kernel, which walks over a map twice and writes nothing else; none where there is none.
    fn by_kernel(band: &Tensor<4>, norm: &Norm) -> Option<Self> {
        if Backend::of(band) != Backend::Wgpu {
            return None;
        }
        let [_, height, width, channels] = band.dims();
        let band = band.clone().reshape([1, height * width, channels]);
        let (counts, known) = wgsl::GroupNorm { norm: norm.clone(), with_silu: true }.spans(&band)?;
        let column = |i: usize| known.clone().narrow(3, i, 1).reshape([norm.groups, counts.len()]);
        Some(Self { means: column(0), squares: column(1), counts })
    }

    /// All as one span.
    fn composed(band: Tensor<4>, groups: usize) -> Self {
        let [_, height, width, channels] = band.dims();
        let count = height * width * (channels / groups);
        // Along rows first, which keeps rounding small.
        let sums = |band: Tensor<4>| {
            band.sum_dim(2).sum_dim(1).reshape([groups, channels / groups]).sum_dim(1).reshape([groups, 1])
        };
        let means = sums(band.clone()) / count as f64;
        let centred = band - of_channels(&means, channels);
        Self { counts: vec![count], means, squares: sums(centred.clone() * centred) }
    }
}

impl GroupMoments {
    /// Of no rows yet, for this normalisation.
    pub fn new(norm: &Norm) -> Self {
        Self { norm: norm.clone(), spans: Vec::new() }
    }

    /// Adds a band of rows `[1, H, W, C]`.
    pub fn add(&mut self, band: &Tensor<4>) {
        let by_kernel = Spans::by_kernel(band, &self.norm);
        self.spans.push(by_kernel.unwrap_or_else(|| Spans::composed(band.clone(), self.norm.groups)));
    }

    /// The normalisation of any rows of the map that these are the moments of.
    ///
    /// # Panics
    /// If no band was added.
    pub fn into_norm(self) -> KnownNorm {
        let device = self.spans.first().expect("a map has rows").means.device();
        let counts: Vec<f32> = self.spans.iter().flat_map(|spans| &spans.counts).map(|count| *count as f32).collect();
        let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        let counts = Tensor::<1>::from_floats(&counts[..], &device).unsqueeze::<2>();
        let (means, squares): (Vec<_>, Vec<_>) =
            self.spans.into_iter().map(|spans| (spans.means, spans.squares)).unzip();
        let [means, squares] = [means, squares].map(|parts| Tensor::cat(parts, 1));
        let mean = (means.clone() * counts.clone()).sum_dim(1) / total;
        let off = means - mean.clone();
        let variance = (squares + off.clone() * off * counts).sum_dim(1) / total;
        KnownNorm::new(self.norm, mean, variance)
    }
}

/// Values of groups `[G, 1]` for each of their channels: `[1, 1, 1, C]`.
fn of_channels(groups: &Tensor<2>, channels: usize) -> Tensor<4> {
    let count = groups.dims()[0];
    groups.clone().repeat_dim(1, channels / count).reshape([1, 1, 1, channels])
}

/// A group normalisation of a map whose moments are known.
pub struct KnownNorm {
    norm: wgsl::GroupNorm,
    /// Means and reciprocal standard deviations of groups, as [`wgsl::GroupNorm::forward_known`] takes them.
    known: Tensor<4>,
}

impl KnownNorm {
    /// With means and variances of groups `[G, 1]`.
    fn new(norm: Norm, mean: Tensor<2>, variance: Tensor<2>) -> Self {
        let rstd = (variance + norm.eps).sqrt().recip();
        let zeros = Tensor::zeros([norm.groups, 2], &mean.device());
        let known = Tensor::cat(vec![mean, rstd, zeros], 1).reshape([1, norm.groups, 1, 4]);
        Self { norm: wgsl::GroupNorm { norm, with_silu: true }, known }
    }

    /// Normalises some rows `[1, H, W, C]`, and applies `silu`.
    pub fn silu(&self, rows: Tensor<4>) -> Tensor<4> {
        let dims @ [_, height, width, channels] = rows.dims();
        if Backend::of(&rows) == Backend::Wgpu {
            let rows = rows.reshape([1, height * width, channels]);
            return self.norm.forward_known(&rows, &self.known).reshape(dims);
        }
        let norm = &self.norm.norm;
        let [mean, rstd] = [0, 1].map(|column| {
            let of_groups = self.known.clone().narrow(3, column, 1).reshape([norm.groups, 1]);
            of_channels(&of_groups, channels)
        });
        let [gamma, beta] = [&norm.weight, &norm.bias].map(|values| values.f32().reshape([1, 1, 1, channels]));
        silu((rows - mean) * (rstd * gamma) + beta)
    }
}
