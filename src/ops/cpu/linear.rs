//! Linear layers.

use burn::tensor::Tensor;

use super::product::{Matrix, Order, Right, add_product};
use super::{Frozen, Slab, starting, tensor};
use crate::ops::Weight;

/// `x w^T + b + residual` for `x` of `[M, K]` and `w` of `[N, K]`.
pub(crate) fn linear(
    x: &Tensor<2>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    residual: Option<&Tensor<2>>,
) -> Tensor<2> {
    let ([rows, inner], [outputs, _]) = (x.dims(), weight.dims());
    let (x, weight) = (Slab::of(x), Frozen::of(weight));
    let mut out = starting([rows, outputs], bias, residual);
    let right = Right { stored: weight.values(), order: Order::Columns { first: 0, apart: inner }, inner };
    add_product(&Matrix { values: &x, inner }, right, out.chunks_mut(outputs).collect());
    tensor(out, [rows, outputs])
}

/// `dy w`, the gradient to the input of [`linear`], on top of what was `collected`.
pub(crate) fn linear_backward(dy: &Tensor<2>, weight: &Weight<2>, collected: Option<&Tensor<2>>) -> Tensor<2> {
    let ([rows, inner], [_, inputs]) = (dy.dims(), weight.dims());
    let (dy, weight) = (Slab::of(dy), Frozen::of(weight));
    let mut dx = starting([rows, inputs], None, collected);
    let start = |step: usize| step * inputs;
    let right = Right { stored: weight.values(), order: Order::Steps(&start), inner };
    add_product(&Matrix { values: &dy, inner }, right, dx.chunks_mut(inputs).collect());
    tensor(dx, [rows, inputs])
}
