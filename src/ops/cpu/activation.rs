//! Pointwise functions and their derivatives.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::math::{erf, exp, sigmoid};
use super::{Slab, rows_per_task, tensor, vectorised};

const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
/// The constant of CLIP's `quick_gelu`: `x * sigmoid(1.702 x)`.
const QUICK: f32 = 1.702;

#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Derivative of the exact gelu: `Phi(x) + x phi(x)`.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * FRAC_1_SQRT_2PI * exp(-0.5 * x * x)
}

#[inline(always)]
pub(super) fn silu_of(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
pub(super) fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

#[inline(always)]
fn quick_gelu_of(x: f32) -> f32 {
    x * sigmoid(QUICK * x)
}

#[inline(always)]
fn quick_gelu_slope(x: f32) -> f32 {
    let s = sigmoid(QUICK * x);
    s * (1.0 + QUICK * x * (1.0 - s))
}

/// Calls `work(output chunk, position of its first element)` for chunks of the output, in parallel if it is worth it.
fn chunked(length: usize, unit: usize, work: impl Fn(&mut [f32], usize) + Sync) -> Vec<f32> {
    let mut out = vec![0.0; length];
    let chunk = rows_per_task(length / unit.max(1), unit) * unit;
    if chunk >= length {
        vectorised(|| work(&mut out, 0));
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, out)| vectorised(|| work(out, i * chunk)));
    }
    out
}

#[inline(always)]
fn map<const D: usize>(x: &Tensor<D>, f: impl Fn(f32) -> f32 + Sync) -> Tensor<D> {
    let slab: &[f32] = &Slab::of(x);
    let out = chunked(
        slab.len(),
        1,
        #[inline(always)]
        |out, at| {
            let x = &slab[at..at + out.len()];
            for (y, &x) in out.iter_mut().zip(x) {
                *y = f(x);
            }
        },
    );
    tensor(out, x.dims())
}

#[inline(always)]
fn zip<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>, f: impl Fn(f32, f32) -> f32 + Sync) -> Tensor<D> {
    let a: &[f32] = &Slab::of(x);
    let b: &[f32] = &Slab::of(dy);
    let out = chunked(
        a.len(),
        1,
        #[inline(always)]
        |out, at| {
            let (a, b) = (&a[at..at + out.len()], &b[at..at + out.len()]);
            for ((y, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *y = f(a, b);
            }
        },
    );
    tensor(out, x.dims())
}

macro_rules! pointwise {
    ($forward:ident, $backward:ident, $of:ident, $slope:ident) => {
        pub(crate) fn $forward<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
            map(
                x,
                #[inline(always)]
                |x| $of(x),
            )
        }
        pub(crate) fn $backward<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>) -> Tensor<D> {
            zip(
                x,
                dy,
                #[inline(always)]
                |x, dy| dy * $slope(x),
            )
        }
    };
}

pointwise!(silu, silu_backward, silu_of, silu_slope);
pointwise!(gelu, gelu_backward, gelu_of, gelu_slope);
pointwise!(quick_gelu, quick_gelu_backward, quick_gelu_of, quick_gelu_slope);

/// `value * gelu(gate)` for rows of `[value, gate]`: `[R, 2n]` to `[R, n]`.
pub(crate) fn geglu(x: &Tensor<2>) -> Tensor<2> {
    let [rows, double] = x.dims();
    let n = double / 2;
    let slab: &[f32] = &Slab::of(x);
    let out = chunked(
        rows * n,
        n,
        #[inline(always)]
        |out, at| {
            for (row, y) in out.chunks_exact_mut(n).enumerate() {
                let (value, gate) = slab[(at / n + row) * double..][..double].split_at(n);
                for ((y, &value), &gate) in y.iter_mut().zip(value).zip(gate) {
                    *y = value * gelu_of(gate);
                }
            }
        },
    );
    tensor(out, [rows, n])
}

/// The gradient to the input of [`geglu`].
pub(crate) fn geglu_backward(x: &Tensor<2>, dy: &Tensor<2>) -> Tensor<2> {
    let [rows, double] = x.dims();
    let n = double / 2;
    let x: &[f32] = &Slab::of(x);
    let dy: &[f32] = &Slab::of(dy);
    let out = chunked(
        rows * double,
        double,
        #[inline(always)]
        |out, at| {
            for (row, dx) in out.chunks_exact_mut(double).enumerate() {
                let row = at / double + row;
                let (value, gate) = x[row * double..][..double].split_at(n);
                let (dvalue, dgate) = dx.split_at_mut(n);
                for ((((dvalue, dgate), &value), &gate), &dy) in
                    dvalue.iter_mut().zip(dgate).zip(value).zip(gate).zip(&dy[row * n..][..n])
                {
                    *dvalue = dy * gelu_of(gate);
                    *dgate = dy * value * gelu_slope(gate);
                }
            }
        },
    );
    tensor(out, [rows, double])
}
