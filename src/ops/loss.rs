//! What a prediction is measured by.

use burn::tensor::Tensor;

use super::Var;

/// Mean squared difference of `prediction` and `target` `[B, h, w, C]`, weighted, averaged over everything: `[1]`.
///
/// `weights` is `[B, 1, 1, 1]` for samples, or `[B, h, w, 1]` by position; none means all ones.
pub fn mse(prediction: &Var<4>, target: Tensor<4>, weights: Option<Tensor<4>>) -> Var<1> {
    let difference = prediction.value().clone() - target;
    let count = prediction.dims().iter().product::<usize>() as f64;
    let weighted = match &weights {
        Some(weights) => difference.clone() * weights.clone(),
        None => difference.clone(),
    };
    let loss = (weighted.clone() * difference).sum() / count;
    let link = prediction.link();
    Var::from_op(loss, &[prediction], move |dy, gradients| {
        gradients.add(&link, || weighted * (2.0 / count) * dy.reshape([1, 1, 1, 1]));
    })
}
