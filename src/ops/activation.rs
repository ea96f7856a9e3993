//! Pointwise activations, each with its exact derivative.

use burn::tensor::Tensor;

#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::wgsl::{self, Activation};
use super::{Backend, Var};

/// `x * sigmoid(x)`.
pub fn silu<const D: usize>(x: &Var<D>) -> Var<D> {
    pointwise(x, Activation::Silu)
}

/// The exact gelu, `x Phi(x)`. (Burn's own has the derivative of the tanh approximation.)
pub fn gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    pointwise(x, Activation::Gelu)
}

/// CLIP's `x * sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    pointwise(x, Activation::QuickGelu)
}

fn pointwise<const D: usize>(x: &Var<D>, which: Activation) -> Var<D> {
    let (link, value) = (x.link(), x.value().clone());
    Var::from_op(pointwise_forward(&value, which), &[x], move |dy, gradients| {
        gradients.add(&link, || pointwise_backward(&value, &dy, which));
    })
}

pub(super) fn pointwise_forward<const D: usize>(x: &Tensor<D>, which: Activation) -> Tensor<D> {
    let reference = || match which {
        Activation::Silu => silu_reference(x),
        Activation::QuickGelu => quick_gelu_reference(x),
        Activation::Gelu => gelu_reference(x),
    };
    match Backend::of(x) {
        Backend::Wgpu => wgsl::activation(x, which).unwrap_or_else(reference),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => match which {
            Activation::Silu => cpu::silu(x),
            Activation::QuickGelu => cpu::quick_gelu(x),
            Activation::Gelu => cpu::gelu(x),
        },
        Backend::Reference => reference(),
    }
}

/// The gradient to `x` from that to the result.
pub(super) fn pointwise_backward<const D: usize>(x: &Tensor<D>, dy: &Tensor<D>, which: Activation) -> Tensor<D> {
    let reference = || match which {
        Activation::Silu => silu_backward_reference(x, dy),
        Activation::QuickGelu => quick_gelu_backward_reference(x, dy),
        Activation::Gelu => gelu_backward_reference(x, dy),
    };
    match Backend::of(x) {
        Backend::Wgpu => wgsl::activation_backward(x, dy, which).unwrap_or_else(reference),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => match which {
            Activation::Silu => cpu::silu_backward(x, dy),
            Activation::QuickGelu => cpu::quick_gelu_backward(x, dy),
            Activation::Gelu => cpu::gelu_backward(x, dy),
        },
        Backend::Reference => reference(),
    }
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

pub(super) fn geglu_forward(x: &Tensor<2>) -> Tensor<2> {
    match Backend::of(x) {
        Backend::Wgpu => wgsl::geglu(x).unwrap_or_else(|| geglu_reference(x)),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::geglu(x),
        Backend::Reference => geglu_reference(x),
    }
}

pub(super) fn geglu_backward(x: &Tensor<2>, dy: &Tensor<2>) -> Tensor<2> {
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
