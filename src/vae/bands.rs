//! Feature maps in bands of rows: what the autoencoder does where a map is too large to be held several times, or to be
//! one buffer.
//!
//! A row of a convolution's result needs a row more on either side, and a normalisation needs the moments of the whole
//! map. Both are known here, so bands give what the whole gives but for rounding, unlike tiles ([`super::tiling`]),
//! which are normalised each on its own. What is held of a residual block is its input and what its first convolution
//! makes: both go band by band, as the result comes.

use std::collections::VecDeque;
use std::ops::Range;

use burn::tensor::Tensor;

use crate::ops::{
    Conv2d, GroupMoments, KnownNorm, Norm, Var, conv2d, conv2d_add, group_norm_silu, lasting, release_unused,
    upsample_nearest_2x,
};
use crate::unet::resnet::{Downsample2D, ResnetBlock2D, Upsample2D};

/// Bytes of a number.
const FLOAT: u64 = 4;

/// Up to which size feature maps are held whole, and the size of bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of the largest map that is held whole.
    pub whole: u64,
    /// Most bytes of a band's rows; a band has at least one.
    pub band: u64,
}

impl Default for Budget {
    /// Half of what a binding has on every WebGPU device: pictures of 256 pixels of Stable Diffusion are whole. Bands
    /// are large enough for the tiles that keep a large GPU busy.
    fn default() -> Self {
        Self { whole: 64 << 20, band: 8 << 20 }
    }
}

impl Budget {
    /// Whether a layer is computed whole, whose largest map has this height, width and number of channels. Maps that are in
    /// bands stay so until they are a good deal smaller: whole, a layer takes as much memory as several of them.
    pub fn is_whole(&self, map: [usize; 3], in_bands: bool) -> bool {
        bytes(map) <= if in_bands { self.whole / 4 } else { self.whole }
    }

    /// Rows of a band: a power of two, so that bands of maps with half the width or channels have the same length, and
    /// the memory of one is used again for another.
    pub fn rows(&self, [_, width, channels]: [usize; 3]) -> usize {
        let rows = self.band / bytes([1, width, channels]).max(1);
        1 << rows.checked_ilog2().unwrap_or(0)
    }

    /// The rows of each band.
    fn ranges(&self, map @ [height, ..]: [usize; 3]) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows(map);
        (0..height).step_by(rows).map(move |first| first..height.min(first + rows))
    }
}

/// Bytes of a map.
pub(crate) fn bytes(map: [usize; 3]) -> u64 {
    map.iter().map(|size| *size as u64).product::<u64>() * FLOAT
}

/// A feature map on its way through one half of the autoencoder. Each of its methods is a layer, which works in bands
/// where the largest map that it reads or writes does not fit.
pub(super) enum FeatureMap {
    /// Of any number of samples.
    Whole(Box<Var<4>>),
    Bands(Bands),
}

impl FeatureMap {
    /// A whole map.
    pub fn of(map: Var<4>) -> Self {
        FeatureMap::Whole(Box::new(map))
    }

    /// Height, width, channels.
    fn size(&self) -> [usize; 3] {
        match self {
            FeatureMap::Whole(map) => {
                let [_, height, width, channels] = map.dims();
                [height, width, channels]
            }
            FeatureMap::Bands(bands) => bands.size,
        }
    }

    /// Whether a layer whose largest map is this large works on whole maps. Several samples always do: pictures are
    /// made one by one.
    fn stays_whole(&self, largest: [usize; 3], budget: &Budget) -> bool {
        match self {
            FeatureMap::Whole(map) => map.dims()[0] > 1 || budget.is_whole(largest, false),
            FeatureMap::Bands(_) => budget.is_whole(largest, true),
        }
    }

    fn layer(
        self,
        largest: [usize; 3],
        budget: &Budget,
        whole: impl FnOnce(&Var<4>) -> Var<4>,
        banded: impl FnOnce(Bands) -> Bands,
    ) -> Self {
        if self.stays_whole(largest, budget) {
            return FeatureMap::of(whole(&self.into_whole()));
        }
        FeatureMap::Bands(banded(match self {
            FeatureMap::Whole(map) => {
                let map = map.into_value();
                // Bands do not lie where whole maps lay.
                release_unused(&map.device());
                Bands::of(map)
            }
            FeatureMap::Bands(bands) => bands,
        }))
    }

    /// All of it.
    pub fn into_whole(self) -> Var<4> {
        match self {
            FeatureMap::Whole(map) => *map,
            FeatureMap::Bands(bands) => {
                let whole = bands.rows(0..bands.size[0]);
                drop(bands);
                // Whole maps do not fit where bands lay.
                release_unused(&whole.device());
                Var::constant(whole)
            }
        }
    }

    /// A convolution that keeps the size.
    pub fn convolved(self, layer: &Conv2d, budget: &Budget) -> Self {
        let [height, width, channels] = self.size();
        let largest = [height, width, channels.max(layer.weight.dims()[0])];
        self.layer(largest, budget, |x| conv2d(x, layer), |x| convolution(x, None, layer, budget))
    }

    /// A group normalisation with `silu`, and a convolution that keeps the size.
    pub fn norm_convolved(self, norm: &Norm, layer: &Conv2d, budget: &Budget) -> Self {
        let size = self.size();
        let whole = |x: &Var<4>| conv2d(&group_norm_silu(x, norm), layer);
        self.layer(size, budget, whole, |x| convolution(x, Some(norm), layer, budget))
    }

    /// A residual block.
    pub fn resnet(self, block: &ResnetBlock2D, budget: &Budget) -> Self {
        let [height, width, channels] = self.size();
        let largest = [height, width, channels.max(block.conv1.weight.dims()[0])];
        self.layer(largest, budget, |x| block.forward(x, None), |x| resnet(block, x, budget))
    }

    /// Half the size.
    pub fn downsampled(self, block: &Downsample2D, budget: &Budget) -> Self {
        let size = self.size();
        self.layer(size, budget, |x| block.forward(x), |x| downsampled(block, x, budget))
    }

    /// Twice the size; the doubled map that is convolved is made a band at a time.
    pub fn upsampled(self, block: &Upsample2D, budget: &Budget) -> Self {
        let [height, width, channels] = self.size();
        let doubled = [2 * height, 2 * width, channels];
        let whole = |x: &Var<4>| block.forward(x, [2 * height, 2 * width]);
        self.layer(doubled, budget, whole, |x| upsampled(block, x, budget))
    }
}

/// A feature map of one sample.
pub(super) struct Bands {
    /// Height, width, channels.
    size: [usize; 3],
    /// The number of the first row, and rows `[1, h, W, C]`, from top to bottom. Those that are not needed any more are
    /// gone.
    bands: VecDeque<(usize, Tensor<4>)>,
}

impl Bands {
    /// A map `[1, H, W, C]` as a single band.
    fn of(map: Tensor<4>) -> Self {
        let [_, height, width, channels] = map.dims();
        Self { size: [height, width, channels], bands: VecDeque::from([(0, map)]) }
    }

    /// A map whose bands are made from top to bottom.
    fn made(
        size: [usize; 3],
        ranges: impl Iterator<Item = Range<usize>>,
        mut make: impl FnMut(Range<usize>) -> Tensor<4>,
    ) -> Self {
        Self { size, bands: ranges.map(|range| (range.start, make(range))).collect() }
    }

    fn rows(&self, wanted: Range<usize>) -> Tensor<4> {
        let part = |(first, band): &(usize, Tensor<4>)| {
            let height = band.dims()[1];
            let (from, to) = (wanted.start.max(*first), wanted.end.min(first + height));
            match to.saturating_sub(from) {
                0 => None,
                all if all == height => Some(band.clone()),
                some => Some(band.clone().narrow(1, from - first, some)),
            }
        };
        let mut parts: Vec<_> = self.bands.iter().filter_map(part).collect();
        if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) }
    }

    /// Lets go of bands that end before a row.
    fn forget_before(&mut self, row: usize) {
        while self.bands.front().is_some_and(|(first, band)| first + band.dims()[1] <= row) {
            self.bands.pop_front();
        }
    }

    /// The moments of the map, for its normalisation.
    fn norm(&self, norm: &Norm, budget: &Budget) -> KnownNorm {
        let mut moments = GroupMoments::new(norm);
        for range in budget.ranges(self.size) {
            moments.add(&self.rows(range));
        }
        moments.into_norm()
    }
}

/// What rows `out` of a convolution's result are made of, where a map has `height` rows and `input` gives any of them:
/// the rows that its windows see, and the layer with the padding that is left.
fn windows(
    layer: &Conv2d,
    out: &Range<usize>,
    height: usize,
    input: impl Fn(Range<usize>) -> Tensor<4>,
) -> (Var<4>, Conv2d) {
    let [top, left, _, right] = layer.padding;
    // Rows of the padded map.
    let (from, to) = (out.start * layer.stride, (out.end - 1) * layer.stride + layer.kernel[0]);
    let padding = [top.saturating_sub(from), left, to.saturating_sub(top + height), right];
    let rows = input(from.saturating_sub(top)..(to - top).min(height));
    (Var::constant(rows), Conv2d { padding, ..layer.clone() })
}

/// A convolution of windows whose result stays until the next map is made of it.
fn kept((rows, layer): (Var<4>, Conv2d), residual: Option<&Var<4>>) -> Tensor<4> {
    let (rows, residual) = (rows.into_value(), residual.map(Var::value));
    lasting(&rows.device(), || {
        let rows = Var::constant(rows.clone());
        match residual {
            Some(residual) => conv2d_add(&rows, &layer, &Var::constant(residual.clone())),
            None => conv2d(&rows, &layer),
        }
        .into_value()
    })
}

/// The convolution of a map, perhaps normalised before.
fn convolution(mut map: Bands, norm: Option<&Norm>, layer: &Conv2d, budget: &Budget) -> Bands {
    let [height, width, channels] = map.size;
    let outputs = layer.weight.dims()[0];
    let known = norm.map(|norm| map.norm(norm, budget));
    let ranges = budget.ranges([height, width, channels.max(outputs)]);
    Bands::made([height, width, outputs], ranges, |out| {
        let input = |rows: Range<usize>| match &known {
            Some(known) => known.silu(map.rows(rows)),
            None => map.rows(rows),
        };
        let rows = kept(windows(layer, &out, height, input), None);
        map.forget_before(out.start);
        rows
    })
}

fn resnet(block: &ResnetBlock2D, mut x: Bands, budget: &Budget) -> Bands {
    let [height, width, _] = x.size;
    let size = [height, width, block.conv1.weight.dims()[0]];
    let norm1 = x.norm(&block.norm1, budget);
    let mut moments = GroupMoments::new(&block.norm2);
    let mut inner = Bands::made(size, budget.ranges(size), |out| {
        let rows = kept(windows(&block.conv1, &out, height, |rows| norm1.silu(x.rows(rows))), None);
        moments.add(&rows);
        rows
    });
    let norm2 = moments.into_norm();
    Bands::made(size, budget.ranges(size), |out| {
        let residual = Var::constant(x.rows(out.clone()));
        let residual = block.conv_shortcut.as_ref().map_or(residual.clone(), |shortcut| conv2d(&residual, shortcut));
        let rows = windows(&block.conv2, &out, height, |rows| norm2.silu(inner.rows(rows)));
        let rows = kept(rows, Some(&residual));
        x.forget_before(out.end);
        // The next band sees the row before it.
        inner.forget_before(out.end - 1);
        rows
    })
}

fn downsampled(block: &Downsample2D, mut x: Bands, budget: &Budget) -> Bands {
    let [height, width, channels] = x.size;
    let size = [height / 2, width / 2, channels];
    Bands::made(size, budget.ranges(size), |out| {
        let rows = kept(windows(&block.conv, &out, height, |rows| x.rows(rows)), None);
        x.forget_before(2 * out.start);
        rows
    })
}

fn upsampled(block: &Upsample2D, mut x: Bands, budget: &Budget) -> Bands {
    let [height, width, channels] = x.size;
    let size = [2 * height, 2 * width, channels];
    Bands::made(size, budget.ranges(size), |out| {
        let doubled = |rows: Range<usize>| {
            let source = rows.start / 2..rows.end.div_ceil(2);
            let (skipped, size) = (rows.start - 2 * source.start, [2 * source.len(), 2 * width]);
            let doubled = upsample_nearest_2x(&Var::constant(x.rows(source)), size).into_value();
            doubled.narrow(1, skipped, rows.len())
        };
        let rows = kept(windows(&block.conv, &out, 2 * height, doubled), None);
        x.forget_before(out.start / 2);
        rows
    })
}
