//! Pointwise activations, each with its exact derivative.

use burn::tensor::Tensor;

use super::Var;

/// `x * sigmoid(x)`.
pub fn silu<const D: usize>(x: &Var<D>) -> Var<D> {
    let dispatch = Kernel { forward: silu_reference, backward: silu_backward_reference };
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(x.value()) {
        return Kernel { forward: super::cpu::silu, backward: super::cpu::silu_backward }.apply(x);
    }
    dispatch.apply(x)
}

/// The exact gelu, `x Phi(x)`. (Burn's own has the derivative of the tanh approximation.)
pub fn gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(x.value()) {
        return Kernel { forward: super::cpu::gelu, backward: super::cpu::gelu_backward }.apply(x);
    }
    Kernel { forward: gelu_reference, backward: gelu_backward_reference }.apply(x)
}

/// CLIP's `x * sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: &Var<D>) -> Var<D> {
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(x.value()) {
        return Kernel { forward: super::cpu::quick_gelu, backward: super::cpu::quick_gelu_backward }.apply(x);
    }
    Kernel { forward: quick_gelu_reference, backward: quick_gelu_backward_reference }.apply(x)
}

/// `value * gelu(gate)` for `[.., value, gate]`: half the width (arXiv 2002.05202).
pub fn geglu<const D: usize>(x: &Var<D>) -> Var<D> {
    let dims = x.dims();
    let double = dims[D - 1];
    let rows = dims.iter().product::<usize>() / double;
    let flat = x.value().clone().reshape([rows, double]);
    let mut shape = dims;
    shape[D - 1] = double / 2;
    let link = x.link();
    if super::on_wgpu(&flat)
        && let Some(y) = super::wgsl::geglu(&flat)
    {
        return Var::from_op(y.reshape(shape), &[x], move |dy, gradients| {
            gradients.add(&link, || {
                let dx = super::wgsl::geglu_backward(&flat, &dy.reshape([rows, double / 2]));
                dx.expect("as wide as what went forward").reshape(dims)
            });
        });
    }
    let (forward, backward) = geglu_kernel(&flat);
    let y = forward(&flat);
    Var::from_op(y.reshape(shape), &[x], move |dy, gradients| {
        gradients.add(&link, || backward(&flat, &dy.reshape([rows, double / 2])).reshape(dims));
    })
}

type Forward<const D: usize> = fn(&Tensor<D>) -> Tensor<D>;
type Backward<const D: usize> = fn(&Tensor<D>, &Tensor<D>) -> Tensor<D>;

fn geglu_kernel(_x: &Tensor<2>) -> (Forward<2>, Backward<2>) {
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(_x) {
        return (super::cpu::geglu, super::cpu::geglu_backward);
    }
    (geglu_reference, geglu_backward_reference)
}

/// A pointwise function and what turns `(x, dy)` into `dx`.
struct Kernel<const D: usize> {
    forward: Forward<D>,
    backward: Backward<D>,
}

impl<const D: usize> Kernel<D> {
    fn apply(self, x: &Var<D>) -> Var<D> {
        let (link, value) = (x.link(), x.value().clone());
        Var::from_op((self.forward)(x.value()), &[x], move |dy, gradients| {
            gradients.add(&link, || (self.backward)(&value, &dy));
        })
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
