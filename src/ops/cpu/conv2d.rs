//! Convolution of channels-last feature maps as a matrix product with unfolded windows ("im2col").
//!
//! Windows are unfolded a bundle of rows at a time, so the unfolded matrix never exceeds [`UNFOLDED`] elements per task.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::{View, bias_rows, gemm};
use super::{Slab, tensor};
use crate::ops::conv2d::Geometry;

/// Most elements of unfolded windows that a task holds: 4 MiB of f32.
const UNFOLDED: usize = 1 << 20;

/// A convolution's sizes: [`Geometry`] with samples, channels and the unfolded width `kh * kw * Cin`.
struct Sizes {
    geometry: Geometry,
    batch: usize,
    channels: usize,
    outputs: usize,
    width: usize,
}

impl Sizes {
    fn new([batch, _, _, channels]: [usize; 4], geometry: Geometry, outputs: usize) -> Self {
        let width = geometry.kernel[0] * geometry.kernel[1] * channels;
        Self { geometry, batch, channels, outputs, width }
    }

    fn rows(&self) -> usize {
        let [h, w] = self.geometry.output;
        h * w
    }

    /// Calls `visit(place in the window, place in the sample, elements)` for each run of neighbouring values that the window
    /// of an output position and the picture have in common; the rest of the window lies in the padding.
    #[inline]
    fn taps(&self, row: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let Geometry { input: [h, w], kernel: [kh, kw], stride, padding: [top, left, _, _], output: [_, ow] } =
            self.geometry;
        let (y, x) = ((row / ow) * stride, (row % ow) * stride);
        // Taps of one kernel row that fall inside the picture are neighbours in memory.
        let first = left.saturating_sub(x);
        let last = kw.min((w + left).saturating_sub(x));
        if first >= last {
            return;
        }
        for ky in 0..kh {
            let Some(iy) = (y + ky).checked_sub(top).filter(|&iy| iy < h) else { continue };
            let window = (ky * kw + first) * self.channels;
            let input = (iy * w + x + first - left) * self.channels;
            visit(window, input, (last - first) * self.channels);
        }
    }
}

/// The convolution of `x` `[B, H, W, Cin]` with `weight` `[Cout, kh * kw * Cin]`: `[B, H', W', Cout]`.
pub(crate) fn conv2d(x: &Tensor<4>, weight: &Tensor<2>, bias: Option<&Tensor<1>>, geometry: Geometry) -> Tensor<4> {
    let sizes = Sizes::new(x.dims(), geometry, weight.dims()[0]);
    let [height, width] = geometry.output;
    let values: &[f32] = &Slab::of(x);
    let weight: &[f32] = &Slab::of(weight);
    let rows = sizes.batch * sizes.rows();
    let sample = geometry.input[0] * geometry.input[1] * sizes.channels;
    let mut out = bias_rows(rows, sizes.outputs, bias);
    let share = rows.div_ceil(rayon::current_num_threads()).clamp(1, (UNFOLDED / sizes.width).max(1));
    out.par_chunks_mut(share * sizes.outputs).enumerate().for_each(|(task, out)| {
        let count = out.len() / sizes.outputs;
        let mut windows = vec![0.0; count * sizes.width];
        for (i, window) in windows.chunks_exact_mut(sizes.width).enumerate() {
            let row = task * share + i;
            let x = &values[row / sizes.rows() * sample..][..sample];
            sizes.taps(row % sizes.rows(), |at, from, n| window[at..at + n].copy_from_slice(&x[from..from + n]));
        }
        let w = (weight, View::rows(sizes.width).transposed());
        let windows = (&windows[..], View::rows(sizes.width));
        let out = (out, View::rows(sizes.outputs));
        gemm([count, sizes.outputs, sizes.width], out, bias.is_some(), windows, w, 1.0, false);
    });
    tensor(out, [sizes.batch, height, width, sizes.outputs])
}

/// The gradient to the input of [`conv2d`]: windows of gradients, folded back onto the input.
pub(crate) fn conv2d_backward(dy: &Tensor<4>, weight: &Tensor<2>, geometry: Geometry) -> Tensor<4> {
    let [batch, _, _, outputs] = dy.dims();
    let channels = weight.dims()[1] / (geometry.kernel[0] * geometry.kernel[1]);
    let [height, width] = geometry.input;
    let sizes = Sizes::new([batch, height, width, channels], geometry, outputs);
    let dys: &[f32] = &Slab::of(dy);
    let weight: &[f32] = &Slab::of(weight);
    let (rows, sample) = (sizes.rows(), height * width * channels);
    let mut out = vec![0.0; batch * sample];
    // Windows overlap, so a sample is one task; with fewer samples than cores the product itself is shared instead.
    let shared_product = batch < rayon::current_num_threads();
    let fold = |(b, dx): (usize, &mut [f32])| {
        let bundle = rows.min((UNFOLDED / sizes.width).max(1));
        let mut windows = vec![0.0; bundle * sizes.width];
        for first in (0..rows).step_by(bundle) {
            let count = bundle.min(rows - first);
            let dy = (dys, View::rows(outputs).at((b * rows + first) * outputs));
            let w = (weight, View::rows(sizes.width));
            let product = (&mut windows[..], View::rows(sizes.width));
            gemm([count, sizes.width, outputs], product, false, dy, w, 1.0, shared_product);
            for (i, window) in windows.chunks_exact(sizes.width).take(count).enumerate() {
                sizes.taps(first + i, |at, to, n| {
                    for (dx, window) in dx[to..to + n].iter_mut().zip(&window[at..at + n]) {
                        *dx += window;
                    }
                });
            }
        }
    };
    if shared_product {
        out.chunks_mut(sample).enumerate().for_each(fold);
    } else {
        out.par_chunks_mut(sample).enumerate().for_each(fold);
    }
    tensor(out, [batch, height, width, channels])
}
