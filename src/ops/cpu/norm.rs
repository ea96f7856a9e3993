//! Group and layer normalisation, each fused with what follows it.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::activation::{silu_of, silu_slope};
use super::{Slab, rows_per_task, tensor, vectorised};

/// Mean and reciprocal standard deviation of each group of each sample, kept for the backward pass.
pub(crate) struct Moments(Vec<[f32; 2]>);

/// Sums over the rows of `[R, C]`, for each column, of what `term` makes of an element.
///
/// Rows are added in f32 in short runs and the runs in f64, so the sum of a whole feature map stays accurate.
#[inline(always)]
fn column_sums<const N: usize>(
    rows: usize,
    columns: usize,
    mut term: impl FnMut(usize, &mut [[f32; N]]),
) -> Vec<[f64; N]> {
    const RUN: usize = 32;
    let mut total = vec![[0.0f64; N]; columns];
    let mut run = vec![[0.0f32; N]; columns];
    for start in (0..rows).step_by(RUN) {
        run.fill([0.0; N]);
        for row in start..rows.min(start + RUN) {
            term(row, &mut run);
        }
        for (total, run) in total.iter_mut().zip(&run) {
            for i in 0..N {
                total[i] += f64::from(run[i]);
            }
        }
    }
    total
}

/// Runs `work(sample, its output)` for each sample, in parallel if there is enough to do.
fn for_samples(out: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() < 32 * 1024 {
        out.chunks_mut(size).enumerate().for_each(|(b, out)| vectorised(|| work(b, out)));
    } else {
        out.par_chunks_mut(size).enumerate().for_each(|(b, out)| vectorised(|| work(b, out)));
    }
}

/// Normalises each group of channels of each sample of `[B, P, C]`, scales and shifts, and applies silu if asked.
pub(crate) fn group_norm(
    x: &Tensor<3>,
    (gamma, beta): (&Tensor<1>, &Tensor<1>),
    groups: usize,
    eps: f32,
    with_silu: bool,
) -> (Tensor<3>, Moments) {
    let [batch, positions, channels] = x.dims();
    let values: &[f32] = &Slab::of(x);
    let gamma: &[f32] = &Slab::of(gamma);
    let beta: &[f32] = &Slab::of(beta);
    let (size, per_group) = (positions * channels, channels / groups);
    let count = (positions * per_group) as f64;

    let moments_of = |b: usize| -> Vec<[f32; 2]> {
        let x = &values[b * size..][..size];
        let sums = column_sums::<1>(
            positions,
            channels,
            #[inline(always)]
            |row, run| {
                for (run, &x) in run.iter_mut().zip(&x[row * channels..][..channels]) {
                    run[0] += x;
                }
            },
        );
        let means: Vec<f64> =
            sums.chunks(per_group).map(|group| group.iter().map(|s| s[0]).sum::<f64>() / count).collect();
        // The second pass is over deviations from the mean: exact where the mean is large and the spread is small.
        let centre: Vec<f32> = (0..channels).map(|c| means[c / per_group] as f32).collect();
        let squares = column_sums::<1>(
            positions,
            channels,
            #[inline(always)]
            |row, run| {
                for ((run, &x), &centre) in run.iter_mut().zip(&x[row * channels..][..channels]).zip(&centre) {
                    run[0] += (x - centre) * (x - centre);
                }
            },
        );
        squares
            .chunks(per_group)
            .zip(&means)
            .map(|(group, &mean)| {
                let variance = group.iter().map(|s| s[0]).sum::<f64>() / count;
                [mean as f32, (1.0 / (variance + f64::from(eps)).sqrt()) as f32]
            })
            .collect()
    };
    let moments: Vec<[f32; 2]> = if batch * size < 32 * 1024 {
        (0..batch).flat_map(|b| vectorised(|| moments_of(b))).collect()
    } else {
        (0..batch).into_par_iter().flat_map_iter(|b| vectorised(|| moments_of(b))).collect()
    };

    let mut out = vec![0.0; batch * size];
    for_samples(
        &mut out,
        size,
        #[inline(always)]
        |b, out| {
            let (scale, shift): (Vec<f32>, Vec<f32>) = (0..channels)
                .map(|c| {
                    let [mean, rstd] = moments[b * groups + c / per_group];
                    (rstd * gamma[c], beta[c] - mean * rstd * gamma[c])
                })
                .unzip();
            let x = &values[b * size..][..size];
            for (y, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(&scale).zip(&shift) {
                    let z = x * scale + shift;
                    *y = if with_silu { silu_of(z) } else { z };
                }
            }
        },
    );
    (tensor(out, x.dims()), Moments(moments))
}

/// The gradient to the input of [`group_norm`].
pub(crate) fn group_norm_backward(
    x: &Tensor<3>,
    dy: &Tensor<3>,
    (gamma, beta): (&Tensor<1>, &Tensor<1>),
    Moments(moments): &Moments,
    with_silu: bool,
) -> Tensor<3> {
    let [batch, positions, channels] = x.dims();
    let groups = moments.len() / batch;
    let values: &[f32] = &Slab::of(x);
    let dys: &[f32] = &Slab::of(dy);
    let gamma: &[f32] = &Slab::of(gamma);
    let beta: &[f32] = &Slab::of(beta);
    let (size, per_group) = (positions * channels, channels / groups);
    let count = (positions * per_group) as f64;
    let mut out = vec![0.0; batch * size];
    for_samples(
        &mut out,
        size,
        #[inline(always)]
        |b, out| {
            let (x, dy) = (&values[b * size..][..size], &dys[b * size..][..size]);
            let moments = &moments[b * groups..][..groups];
            let (scale, shift): (Vec<f32>, Vec<f32>) = (0..channels)
                .map(|c| {
                    let [mean, rstd] = moments[c / per_group];
                    (rstd * gamma[c], beta[c] - mean * rstd * gamma[c])
                })
                .unzip();
            // First the gradient before silu, into the output, with its sums; then the share of each group's mean and
            // spread: dx = rstd (gamma dz - mean(gamma dz) - xhat mean(gamma dz xhat)).
            let mut plain = vec![0.0f32; channels];
            let mut crossed = vec![0.0f32; channels];
            let mut totals = vec![[0.0f64; 2]; channels];
            for start in (0..positions).step_by(32) {
                plain.fill(0.0);
                crossed.fill(0.0);
                for row in start..positions.min(start + 32) {
                    let span = row * channels..(row + 1) * channels;
                    let (x, dy, dz) = (&x[span.clone()], &dy[span.clone()], &mut out[span]);
                    for c in 0..channels {
                        let slope = if with_silu { silu_slope(x[c] * scale[c] + shift[c]) } else { 1.0 };
                        dz[c] = dy[c] * slope;
                        plain[c] += dz[c];
                        crossed[c] += dz[c] * x[c];
                    }
                }
                for c in 0..channels {
                    totals[c][0] += f64::from(plain[c]);
                    totals[c][1] += f64::from(crossed[c]);
                }
            }
            let (slope, offset): (Vec<f32>, Vec<f32>) = (0..channels)
                .map(|c| {
                    let group = c / per_group;
                    let [mean, rstd] = moments[group].map(f64::from);
                    let (mut a, mut b) = (0.0, 0.0);
                    for i in group * per_group..(group + 1) * per_group {
                        let [plain, crossed] = totals[i];
                        a += f64::from(gamma[i]) * plain;
                        b += f64::from(gamma[i]) * (crossed - mean * plain) * rstd;
                    }
                    let slope = -rstd * rstd * b / count;
                    ((slope) as f32, (-rstd * a / count - slope * mean) as f32)
                })
                .unzip();
            for (dx, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for c in 0..channels {
                    dx[c] = dx[c] * scale[c] + x[c] * slope[c] + offset[c];
                }
            }
        },
    );
    tensor(out, x.dims())
}

/// Runs `work(first row, output rows)` for bundles of rows.
fn for_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_task(out.len() / width, width);
    if rows * width >= out.len() {
        vectorised(|| work(0, out));
    } else {
        out.par_chunks_mut(rows * width).enumerate().for_each(|(i, out)| vectorised(|| work(i * rows, out)));
    }
}

/// Mean and reciprocal standard deviation of one row.
#[inline(always)]
fn row_moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = lanes(
        x,
        #[inline(always)]
        |x| x,
    ) / n;
    let variance = lanes(
        x,
        #[inline(always)]
        |x| (x - mean) * (x - mean),
    ) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// A sum in eight independent lanes, which the compiler may keep in one register.
#[inline(always)]
fn lanes(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let chunks = x.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|&x| term(x)).sum();
    for chunk in chunks {
        for i in 0..8 {
            sums[i] += term(chunk[i]);
        }
    }
    rest + sums.iter().sum::<f32>()
}

/// Normalises each row of `[R, C]`, scales and shifts.
pub(crate) fn layer_norm(x: &Tensor<2>, (gamma, beta): (&Tensor<1>, &Tensor<1>), eps: f32) -> Tensor<2> {
    let [rows, channels] = x.dims();
    let values: &[f32] = &Slab::of(x);
    let gamma: &[f32] = &Slab::of(gamma);
    let beta: &[f32] = &Slab::of(beta);
    let mut out = vec![0.0; rows * channels];
    for_rows(
        &mut out,
        channels,
        #[inline(always)]
        |first, out| {
            for (row, y) in out.chunks_exact_mut(channels).enumerate() {
                let x = &values[(first + row) * channels..][..channels];
                let (mean, rstd) = row_moments(x, eps);
                for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = (x - mean) * rstd * gamma + beta;
                }
            }
        },
    );
    tensor(out, x.dims())
}

/// The gradient to the input of [`layer_norm`].
pub(crate) fn layer_norm_backward(x: &Tensor<2>, dy: &Tensor<2>, gamma: &Tensor<1>, eps: f32) -> Tensor<2> {
    let [rows, channels] = x.dims();
    let values: &[f32] = &Slab::of(x);
    let dys: &[f32] = &Slab::of(dy);
    let gamma: &[f32] = &Slab::of(gamma);
    let mut out = vec![0.0; rows * channels];
    for_rows(
        &mut out,
        channels,
        #[inline(always)]
        |first, out| {
            let mut g = vec![0.0f32; channels];
            let mut gx = vec![0.0f32; channels];
            for (row, dx) in out.chunks_exact_mut(channels).enumerate() {
                let span = (first + row) * channels..(first + row + 1) * channels;
                let (x, dy) = (&values[span.clone()], &dys[span]);
                let (mean, rstd) = row_moments(x, eps);
                for c in 0..channels {
                    g[c] = dy[c] * gamma[c];
                    gx[c] = g[c] * (x[c] - mean) * rstd;
                }
                let n = channels as f32;
                let (a, b) = (
                    lanes(
                        &g,
                        #[inline(always)]
                        |x| x,
                    ) / n,
                    lanes(
                        &gx,
                        #[inline(always)]
                        |x| x,
                    ) / n,
                );
                for c in 0..channels {
                    dx[c] = rstd * (g[c] - a - (x[c] - mean) * rstd * b);
                }
            }
        },
    );
    tensor(out, x.dims())
}
