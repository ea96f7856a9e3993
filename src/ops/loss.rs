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

/// How far the rows of `values` `[N, D]` have turned away from those of `others`: 1 - cosine, averaged over the rows, `[1]`.
/// Rows are taken to be longer than nothing.
pub fn unlikeness(values: &Var<2>, others: Tensor<2>) -> Var<1> {
    let a = values.value().clone();
    let [rows, _] = a.dims();
    let length = |x: &Tensor<2>| (x.clone() * x.clone()).sum_dim(1).sqrt();
    let lengths = length(&a);
    // Unit rows; the cosine is their product, its gradient what of the other is square to this one.
    let (a, b) = (a / lengths.clone(), others.clone() / length(&others));
    let cosine = (a.clone() * b.clone()).sum_dim(1);
    let loss = cosine.clone().sum().neg() / rows as f64 + 1.0;
    let link = values.link();
    Var::from_op(loss, &[values], move |dy, gradients| {
        gradients.add(&link, || (a * cosine - b) / lengths / rows as f64 * dy.reshape([1, 1]));
    })
}
