//! Linear layers with frozen weights.

use burn::tensor::Tensor;

use super::{Var, Weight};

/// The weights of a linear layer: `weight` `[out, in]` as in PyTorch, and perhaps a `bias` `[out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Weight<2>,
    /// `[out]`.
    pub bias: Option<Weight<1>>,
}

/// `x w^T + b` over the last axis of `x` `[.., in]`: `[.., out]`. Its backward needs no activation.
pub fn linear<const D: usize>(x: &Var<D>, layer: &Linear) -> Var<D> {
    let dims = x.dims();
    let [outputs, inputs] = layer.weight.dims();
    let rows = dims.iter().product::<usize>() / inputs;
    let flat = x.value().clone().reshape([rows, inputs]);
    let y = forward(&flat, layer);
    let mut shape = dims;
    shape[D - 1] = outputs;
    let (link, weight) = (x.link(), layer.weight.clone());
    Var::from_op(y.reshape(shape), &[x], move |dy, gradients| {
        gradients.add(&link, || backward(&dy.reshape([rows, outputs]), &weight).reshape(dims));
    })
}

fn forward(x: &Tensor<2>, layer: &Linear) -> Tensor<2> {
    if super::on_wgpu(x)
        && let Some(y) = super::wgsl::linear(x, &layer.weight, layer.bias.as_ref())
    {
        return y;
    }
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(x) {
        return super::cpu::linear(x, &layer.weight, layer.bias.as_ref());
    }
    let (weight, bias) = (layer.weight.f32(), layer.bias.as_ref().map(Weight::f32));
    let y = x.clone().matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze::<2>(),
        None => y,
    }
}

fn backward(dy: &Tensor<2>, weight: &Weight<2>) -> Tensor<2> {
    if super::on_wgpu(dy)
        && let Some(dx) = super::wgsl::linear_backward(dy, weight)
    {
        return dx;
    }
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(dy) {
        return super::cpu::linear_backward(dy, weight);
    }
    dy.clone().matmul(weight.f32())
}
