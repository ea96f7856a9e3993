//! Linear layers with frozen weights.

use burn::tensor::Tensor;

#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::{Backend, Var, Weight, side_by_side, wgsl};

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
    recorded(x, layer, None)
}

/// [`linear`] with a `residual` `[.., out]` added: one kernel instead of two, and a tensor less at that moment. The
/// residual's gradient is that of the result.
pub fn linear_add<const D: usize>(x: &Var<D>, layer: &Linear, residual: &Var<D>) -> Var<D> {
    recorded(x, layer, Some(residual))
}

/// Linear layers that have the same input, such as the projections in front of an attention.
#[derive(Debug, Clone)]
pub struct Linears {
    layers: Vec<Linear>,
    /// All of them in one, where their weights lie one after the other.
    joined: Option<Linear>,
}

impl Linears {
    /// One launch makes the results of all of them if their weights lie one after the other in a GPU's memory, and all of
    /// them have a bias or none has.
    pub fn new(layers: Vec<Linear>) -> Self {
        let weights: Vec<_> = layers.iter().map(|layer| &layer.weight).collect();
        let biased = layers.iter().filter(|layer| layer.bias.is_some()).count();
        let alike = layers.len() > 1 && (biased == 0 || biased == layers.len());
        let joined = Weight::joined(&weights).filter(|_| alike).map(|weight| {
            let biases: Vec<_> = layers.iter().filter_map(|layer| layer.bias.as_ref()).map(Weight::f32).collect();
            let bias = (!biases.is_empty()).then(|| Weight::new(Tensor::cat(biases, 0)));
            Linear { weight, bias }
        });
        Self { layers, joined }
    }

    /// All of them in one: where their weights lie one after the other, or where there is only one.
    pub(super) fn as_one(&self) -> Option<&Linear> {
        match &self.layers[..] {
            [only] => Some(only),
            _ => self.joined.as_ref(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.layers.len()
    }

    /// The weight of each.
    pub(super) fn weights(&self) -> Vec<Weight<2>> {
        self.layers.iter().map(|layer| layer.weight.clone()).collect()
    }
}

/// The results of layers of `x` `[rows, in]`, side by side: `[rows, out + out + ..]`.
pub fn linears_side_by_side(x: &Var<2>, layers: &Linears) -> Var<2> {
    match &layers.joined {
        Some(all) => linear(x, all),
        None => side_by_side(&layers.layers.iter().map(|layer| linear(x, layer)).collect::<Vec<_>>()),
    }
}

/// [`linear`] by each of the layers, which have the same number of outputs.
pub fn linears<const D: usize>(x: &Var<D>, layers: &Linears) -> Vec<Var<D>> {
    let (dims, flat) = (x.dims(), as_rows(x.value()));
    let at_once = match (&layers.joined, Backend::of(&flat)) {
        (Some(all), Backend::Wgpu) => wgsl::linear_planes(&flat, &all.weight, all.bias.as_ref(), layers.layers.len()),
        _ => None,
    };
    let (Some(results), Some(all)) = (at_once, &layers.joined) else {
        return layers.layers.iter().map(|layer| linear(x, layer)).collect();
    };
    let mut shape = dims;
    shape[D - 1] = results[0].dims()[1];
    let results = results.into_iter().map(|y| y.reshape(shape));
    if !x.is_tracked() {
        return results.map(Var::constant).collect();
    }
    let (link, all, each) = (x.link(), all.weight.clone(), layers.weights());
    Var::from_op_with_results(results.collect(), &[x], move |dys, gradients| {
        gradients.add_onto(&link, |collected| {
            backward_of_all(&dys, &all, &each, collected.as_ref().map(as_rows)).reshape(dims)
        });
    })
}

/// A tensor as rows of its last axis.
pub(super) fn as_rows<const D: usize>(tensor: &Tensor<D>) -> Tensor<2> {
    let (dims, width) = (tensor.dims(), tensor.dims()[D - 1]);
    tensor.clone().reshape([dims.iter().product::<usize>() / width, width])
}

/// The gradient to the input of several layers, on top of what was `collected`: by one product where the gradients to all
/// results lie side by side, as an attention leaves those of queries, keys and values.
pub(super) fn backward_of_all<const D: usize>(
    dys: &[Option<Tensor<D>>],
    all: &Weight<2>,
    each: &[Weight<2>],
    collected: Option<Tensor<2>>,
) -> Tensor<2> {
    let dys: Vec<Option<Tensor<2>>> = dys.iter().map(|dy| dy.as_ref().map(as_rows)).collect();
    let given: Option<Vec<&Tensor<2>>> = dys.iter().map(Option::as_ref).collect();
    let at_once = given.and_then(|given| wgsl::linear_backward_planes(&given, all, collected.as_ref()));
    at_once.unwrap_or_else(|| {
        let given = dys.iter().zip(each).filter_map(|(dy, weight)| Some((dy.as_ref()?, weight)));
        let sum = given.fold(collected, |sum, (dy, weight)| Some(backward(dy, weight, sum.as_ref())));
        sum.expect("a result's gradient brought us here")
    })
}

fn recorded<const D: usize>(x: &Var<D>, layer: &Linear, residual: Option<&Var<D>>) -> Var<D> {
    let [outputs, inputs] = layer.weight.dims();
    let rows = x.dims().iter().product::<usize>() / inputs;
    let flat = x.value().clone().reshape([rows, inputs]);
    let residual_rows = residual.map(|residual| residual.value().clone().reshape([rows, outputs]));
    made(forward(&flat, layer, residual_rows.as_ref()), x, layer, residual)
}

/// The result `y` of a layer, as rows.
fn made<const D: usize>(y: Tensor<2>, x: &Var<D>, layer: &Linear, residual: Option<&Var<D>>) -> Var<D> {
    let dims = x.dims();
    let [outputs, inputs] = layer.weight.dims();
    let rows = dims.iter().product::<usize>() / inputs;
    let mut shape = dims;
    shape[D - 1] = outputs;
    debug_assert!(residual.is_none_or(|residual| residual.dims() == shape));
    let (link, weight) = (x.link(), layer.weight.clone());
    Var::from_op_added(y.reshape(shape), x, residual, move |dy, gradients| {
        gradients.add_onto(&link, |collected| {
            let collected = collected.map(|collected| collected.reshape([rows, inputs]));
            backward(&dy.reshape([rows, outputs]), &weight, collected.as_ref()).reshape(dims)
        });
    })
}

pub(super) fn forward(x: &Tensor<2>, layer: &Linear, residual: Option<&Tensor<2>>) -> Tensor<2> {
    let (weight, bias) = (&layer.weight, layer.bias.as_ref());
    match Backend::of(x) {
        Backend::Wgpu => wgsl::linear(x, weight, bias, residual).unwrap_or_else(|| reference(x, layer, residual)),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::linear(x, weight, bias, residual),
        Backend::Reference => reference(x, layer, residual),
    }
}

fn reference(x: &Tensor<2>, layer: &Linear, residual: Option<&Tensor<2>>) -> Tensor<2> {
    let y = x.clone().matmul(layer.weight.f32().transpose());
    let y = match &layer.bias {
        Some(bias) => y + bias.f32().unsqueeze::<2>(),
        None => y,
    };
    plus(y, residual)
}

/// Adds what kernels add themselves.
fn plus(y: Tensor<2>, more: Option<&Tensor<2>>) -> Tensor<2> {
    match more {
        Some(more) => y + more.clone(),
        None => y,
    }
}

/// `dy w`, on top of what was `collected`.
pub(super) fn backward(dy: &Tensor<2>, weight: &Weight<2>, collected: Option<&Tensor<2>>) -> Tensor<2> {
    match Backend::of(dy) {
        Backend::Wgpu => {
            wgsl::linear_backward(dy, weight, collected).unwrap_or_else(|| reference_backward(dy, weight, collected))
        }
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::linear_backward(dy, weight, collected),
        Backend::Reference => reference_backward(dy, weight, collected),
    }
}

fn reference_backward(dy: &Tensor<2>, weight: &Weight<2>, collected: Option<&Tensor<2>>) -> Tensor<2> {
    plus(dy.clone().matmul(weight.f32()), collected)
}
