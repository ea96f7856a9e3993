//! Pointwise activations, each with its exact derivative.

use burn::tensor::Tensor;

#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::{Backend, Var, wgsl};

/// `x * sigmoid(x)`.
pub fn silu<const D: usize>(x: &Var<D>) -> Var<D> {
    match Backend::of(x.value()) {
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => pointwise(x, cpu::silu, cpu::silu_backward),
        Backend::Wgpu | Backend::Reference => pointwise(x, silu_reference, silu_backward_reference),
    }
}

/// The exact gelu, `x Phi(x)`. (Burn's own has the derivative of the tanh approximation.)
pub fn gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    match Backend::of(x.value()) {
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => pointwise(x, cpu::gelu, cpu::gelu_backward),
        Backend::Wgpu | Backend::Reference => pointwise(x, gelu_reference, gelu_backward_reference),
    }
}

/// CLIP's `x * sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    match Backend::of(x.value()) {
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => pointwise(x, cpu::quick_gelu, cpu::quick_gelu_backward),
        Backend::Wgpu | Backend::Reference => pointwise(x, quick_gelu_reference, quick_gelu_backward_reference),
    }
}

/// A pointwise function of `x`, and what makes the gradient to `x` from `x` and the gradient to the result.
fn pointwise<const D: usize>(
    x: &Var<D>,
    forward: fn(&Tensor<D>) -> Tensor<D>,
    backward: fn(&Tensor<D>, &Tensor<D>) -> Tensor<D>,
) -> Var<D> {
    let (link, value) = (x.link(), x.value().clone());
    Var::from_op(forward(x.value()), &[x], move |dy, gradients| {
        gradients.add(&link, || backward(&value, &dy));
    })
}

/// `value * gelu(gate)` for `[.., value, gate]`: half the width (arXiv 2002.05202).
pub fn geglu<const D: usize>(x: &Var<D>) -> Var<D> {
    let dims = x.dims();
    let double = dims[D - 1];
    let rows = dims.iter().product::<usize>() / double;
    let flat = x.value().clone().reshape([rows, double]);
    let mut shape = dims;
    shape[D - 1] = double / 2;
    let y = geglu_forward(&flat);
    let link = x.link();
    Var::from_op(y.reshape(shape), &[x], move |dy, gradients| {
        gradients.add(&link, || geglu_backward(&flat, &dy.reshape([rows, double / 2])).reshape(dims));
    })
}

fn geglu_forward(x: &Tensor<2>) -> Tensor<2> {
    match Backend::of(x) {
        Backend::Wgpu => wgsl::geglu(x).unwrap_or_else(|| geglu_reference(x)),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::geglu(x),
        Backend::Reference => geglu_reference(x),
    }
}

fn geglu_backward(x: &Tensor<2>, dy: &Tensor<2>) -> Tensor<2> {
    match Backend::of(x) {
        Backend::Wgpu => wgsl::geglu_backward(x, dy).unwrap_or_else(|| geglu_backward_reference(x, dy)),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::geglu_backward(x, dy),
        Backend::Reference => geglu_backward_reference(x, dy),
    }
}

fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ((-x).exp() + 1.0).recip()
}

/// `s (1 + f x (1 - s))` with `s = sigmoid(f x)`: the slope of `x * sigmoid(f x)`.
fn gated_slope<const D: usize>(x: &Tensor<D>, factor: f32) -> Tensor<D> {
    let s = sigmoid(x.clone() * factor);
    let rest = -s.clone() + 1.0;
    s * (x.clone() * factor * rest + 1.0)
}

pub(super) fn silu_reference<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone() * sigmoid(x.clone())
}

pub(super) fn silu_backward_reference<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>) -> Tensor<D> {
    dy.clone() * gated_slope(x, 1.0)
}

fn quick_gelu_reference<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone() * sigmoid(x.clone() * 1.702)
}

fn quick_gelu_backward_reference<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>) -> Tensor<D> {
    dy.clone() * gated_slope(x, 1.702)
}

/// The normal distribution function.
fn phi<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    ((x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
}

fn gelu_reference<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone() * phi(x)
}

fn gelu_slope<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    let density = (x.clone() * x.clone() * -0.5).exp() * 0.398_942_3;
    phi(x) + x.clone() * density
}

fn gelu_backward_reference<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>) -> Tensor<D> {
    dy.clone() * gelu_slope(x)
}

fn halves(x: &Tensor<2>) -> [Tensor<2>; 2] {
    let n = x.dims()[1] / 2;
    [x.clone().narrow(1, 0, n), x.clone().narrow(1, n, n)]
}

fn geglu_reference(x: &Tensor<2>) -> Tensor<2> {
    let [value, gate] = halves(x);
    value * gelu_reference(&gate)
}

fn geglu_backward_reference(x: &Tensor<2>, dy: &Tensor<2>) -> Tensor<2> {
    let [value, gate] = halves(x);
    let dvalue = dy.clone() * gelu_reference(&gate);
    let dgate = dy.clone() * value * gelu_slope(&gate);
    Tensor::cat(vec![dvalue, dgate], 1)
}
