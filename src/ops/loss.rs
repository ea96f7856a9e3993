//! What a prediction is measured by.

use burn::tensor::Tensor;

use super::{Backend, Var, wgsl};

/// Mean squared difference of `prediction` and `target` `[B, h, w, C]`, weighted, averaged over everything: `[1]`.
///
/// `weights` is `[B, 1, 1, 1]` for samples, or `[B, h, w, 1]` by position; none means all ones.
pub fn mse(prediction: &Var<4>, target: Tensor<4>, weights: Option<Tensor<4>>) -> Var<1> {
    let value = prediction.value();
    let at_once = match Backend::of(value) {
        Backend::Wgpu => wgsl::mse(value, &target, weights.as_ref()),
        _ => None,
    };
    let (loss, gradient) = at_once.unwrap_or_else(|| composed(value, target, weights));
    let link = prediction.link();
    Var::from_op(loss, &[prediction], move |dy, gradients| {
        gradients.add(&link, || gradient * dy.reshape([1, 1, 1, 1]));
    })
}

/// The loss, and its gradient to the prediction.
fn composed(prediction: &Tensor<4>, target: Tensor<4>, weights: Option<Tensor<4>>) -> (Tensor<1>, Tensor<4>) {
    let difference = prediction.clone() - target;
    let count = prediction.dims().iter().product::<usize>() as f64;
    let weighted = match weights {
        Some(weights) => difference.clone() * weights,
        None => difference.clone(),
    };
    ((weighted.clone() * difference).sum() / count, weighted * (2.0 / count))
}
