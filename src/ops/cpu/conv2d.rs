//! Convolutions of channels-last feature maps as products of their windows with the weight.
//!
//! The gradient to the input is a convolution, too: of the gradient, with the taps of the window that reached a pixel.
//! With a stride those are other taps for pixels in other phases of it, so each phase is a product of its own, and
//! nothing is multiplied with the zeros between strides.

use std::ops::Range;

use burn::tensor::Tensor;

use super::product::{FrozenValues, LeftRows, Order, Right, add_product};
use super::winograd::{Tiles, add_convolution};
use super::{Frozen, Slab, starting, tensor};
use crate::ops::Weight;
use crate::ops::geometry::Geometry;

/// The windows of a feature map, one for each position of a grid in each sample.
struct Windows<'a> {
    /// `[B, height, width, channels]`.
    values: &'a [f32],
    size: [usize; 2],
    channels: usize,
    /// Positions in a sample, down and across.
    grid: [usize; 2],
    /// Pixels from one position to the next.
    stride: usize,
    /// Where a window's pixels lie, from its position's.
    taps: Vec<[isize; 2]>,
}

impl Windows<'_> {
    /// Where the values of a pixel begin; none if it lies outside.
    fn pixel(&self, sample: usize, [y, x]: [isize; 2]) -> Option<usize> {
        let [height, width] = self.size;
        let y = usize::try_from(y).ok().filter(|y| *y < height)?;
        let x = usize::try_from(x).ok().filter(|x| *x < width)?;
        Some(((sample * height + y) * width + x) * self.channels)
    }
}

impl LeftRows for Windows<'_> {
    fn fill(&self, row: usize, steps: Range<usize>, part: &mut [f32]) {
        let [down, across] = self.grid;
        let (sample, place) = (row / (down * across), row % (down * across));
        let [y, x] = [place / across, place % across].map(|place| (place * self.stride) as isize);
        let mut rest = part;
        let mut step = steps.start;
        while !rest.is_empty() {
            let (tap, channel) = (step / self.channels, step % self.channels);
            let (now, later) = rest.split_at_mut((self.channels - channel).min(rest.len()));
            let [dy, dx] = self.taps[tap];
            match self.pixel(sample, [y + dy, x + dx]) {
                Some(start) => now.copy_from_slice(&self.values[start + channel..][..now.len()]),
                None => now.fill(0.0),
            }
            step += now.len();
            rest = later;
        }
    }
}

/// The convolution of `x` `[B, H, W, Cin]` with `weight` `[Cout, kh * kw * Cin]`, and the residual:
/// `[B, H', W', Cout]`.
pub(crate) fn conv2d(
    x: &Tensor<4>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    residual: Option<&Tensor<4>>,
    geometry: Geometry,
) -> Tensor<4> {
    let ([batch, _, _, channels], [outputs, inner]) = (x.dims(), weight.dims());
    let Geometry { input, kernel: [kh, kw], stride, padding: [top, left, _, _], output: [height, width] } = geometry;
    let (x, weight) = (Slab::of(x), Frozen::of(weight));
    let mut out = starting([batch * height * width, outputs], bias, residual);
    let tiles = Tiles::new(&x, [input, geometry.output], channels, [top, left]);
    if has_tiles(geometry) && tiles.are_worthwhile(outputs) {
        let tap = |tap| Right {
            stored: weight.values(),
            order: Order::Columns { first: tap * channels, apart: inner },
            inner: channels,
        };
        add_convolution(tiles, std::array::from_fn(tap), &mut out, outputs);
        return tensor(out, [batch, height, width, outputs]);
    }
    let taps = (0..kh).flat_map(|y| (0..kw).map(move |x| [y as isize - top as isize, x as isize - left as isize]));
    let windows = Windows { values: &x, size: input, channels, grid: geometry.output, stride, taps: taps.collect() };
    let right = Right { stored: weight.values(), order: Order::Columns { first: 0, apart: inner }, inner };
    add_product(&windows, right, out.chunks_mut(outputs).collect());
    tensor(out, [batch, height, width, outputs])
}

/// Whether a convolution can be one of tiles, and its gradient, too: for that, a window reaches beyond what it is padded with.
fn has_tiles(Geometry { kernel, stride, padding: [top, left, ..], .. }: Geometry) -> bool {
    kernel == [3, 3] && stride == 1 && top <= 2 && left <= 2
}

/// The gradient to the input of [`conv2d`].
pub(crate) fn conv2d_backward(dy: &Tensor<4>, weight: &Weight<2>, geometry: Geometry) -> Tensor<4> {
    let [batch, _, _, outputs] = dy.dims();
    let Geometry { input: [height, width], kernel: [kh, kw], stride, .. } = geometry;
    let wide = weight.dims()[1];
    let channels = wide / (kh * kw);
    let (dy, weight) = (Slab::of(dy), Frozen::of(weight));
    let mut out = vec![0.0; batch * height * width * channels];
    if has_tiles(geometry) {
        let [top, left, ..] = geometry.padding;
        let tiles = Tiles::new(&dy, [geometry.output, geometry.input], outputs, [2 - top, 2 - left]);
        if tiles.are_worthwhile(channels) {
            // The window seen from where it ends.
            let starts: [_; 9] = std::array::from_fn(|tap| move |step: usize| step * wide + (8 - tap) * channels);
            let tap = |tap: usize| Right { stored: weight.values(), order: Order::Steps(&starts[tap]), inner: outputs };
            add_convolution(tiles, std::array::from_fn(tap), &mut out, channels);
            return tensor(out, [batch, height, width, channels]);
        }
    }
    // Pixels by their phase, in the order of the phase's grid.
    let mut phases: Vec<Vec<&mut [f32]>> = Vec::new();
    phases.resize_with(stride * stride, Vec::new);
    for (i, pixel) in out.chunks_mut(channels).enumerate() {
        let (y, x) = (i / width % height, i % width);
        phases[y % stride * stride + x % stride].push(pixel);
    }
    for (i, pixels) in phases.into_iter().enumerate() {
        let phase = [i / stride, i % stride];
        StridePhase::new(phase, geometry).backward(&dy, weight.values(), [outputs, wide], pixels);
    }
    tensor(out, [batch, height, width, channels])
}

/// The pixels of an input that lie alike in the stride.
struct StridePhase {
    geometry: Geometry,
    grid: [usize; 2],
    /// The taps that reach such a pixel: their numbers in the window, and from where in the output, from the place in
    /// the grid.
    taps: Vec<(usize, [isize; 2])>,
}

impl StridePhase {
    fn new([y, x]: [usize; 2], geometry: Geometry) -> Self {
        let Geometry { input: [height, width], kernel: [kh, kw], stride, padding: [top, left, _, _], .. } = geometry;
        let along = |phase: usize, padding: usize, kernel: usize| -> Vec<(usize, isize)> {
            let reaching = |tap: &usize| (phase + padding + kernel * stride - tap).is_multiple_of(stride);
            let from = |tap: usize| ((phase + padding) as isize - tap as isize) / stride as isize;
            (0..kernel).filter(reaching).map(|tap| (tap, from(tap))).collect()
        };
        let (down, across) = (along(y, top, kh), along(x, left, kw));
        let taps = down.iter().flat_map(|(ky, dy)| across.iter().map(move |(kx, dx)| (ky * kw + kx, [*dy, *dx])));
        let grid = [height.saturating_sub(y).div_ceil(stride), width.saturating_sub(x).div_ceil(stride)];
        Self { geometry, grid, taps: taps.collect() }
    }

    fn backward(self, dy: &[f32], weight: FrozenValues<'_>, [outputs, wide]: [usize; 2], pixels: Vec<&mut [f32]>) {
        let taps = self.taps.iter().map(|(_, place)| *place).collect();
        let size = self.geometry.output;
        let windows = Windows { values: dy, size, channels: outputs, grid: self.grid, stride: 1, taps };
        let channels = wide / (self.geometry.kernel[0] * self.geometry.kernel[1]);
        // A step of the inner axis is an output channel at a tap.
        let start = |step: usize| step % outputs * wide + self.taps[step / outputs].0 * channels;
        let right = Right { stored: weight, order: Order::Steps(&start), inner: self.taps.len() * outputs };
        add_product(&windows, right, pixels);
    }
}
