//! Two linear layers with an activation between them, behind a layer normalisation.

use burn::tensor::Tensor;

use super::activation::{geglu_backward, geglu_forward, pointwise_backward, pointwise_forward};
use super::linear::{as_rows, backward, forward};
use super::normed::folded;
use super::wgsl::{self, Activation, Between, FoldedNorm};
use super::{Backend, Linear, Norm, Var, Weight, geglu, gelu, layer_norm, linear, linear_add, quick_gelu, silu};

/// A block that adds to its input what an MLP makes of its normalisation.
#[derive(Debug, Clone)]
pub struct Mlp {
    norm: Norm,
    first: Linear,
    activation: MlpActivation,
    second: Linear,
    /// On a GPU that is hardware, the first product normalises its rows itself.
    folded: Option<FoldedNorm>,
}

/// What is between the layers of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlpActivation {
    /// [`gelu`].
    Gelu,
    /// [`quick_gelu`].
    QuickGelu,
    /// [`geglu`].
    Geglu,
}

impl MlpActivation {
    fn between(self) -> Between {
        match self {
            MlpActivation::Gelu => Between::Activation(Activation::Gelu),
            MlpActivation::QuickGelu => Between::Activation(Activation::QuickGelu),
            MlpActivation::Geglu => Between::Geglu,
        }
    }
}

impl Mlp {
    /// A normalisation and two layers with an activation between them.
    pub fn new(norm: Norm, first: Linear, activation: MlpActivation, second: Linear) -> Self {
        let folded = folded(&norm, &first);
        Self { norm, first, activation, second, folded }
    }
}

/// `x` and what an MLP makes of its normalisation. On a GPU the first
/// product normalises its rows and ends with the activation where it can, and the second adds.
pub fn mlp<const D: usize>(x: &Var<D>, mlp: &Mlp) -> Var<D> {
    if Backend::of(x.value()) == Backend::Wgpu {
        return on_the_gpu(x, mlp);
    }
    let h = linear(&layer_norm(x, &mlp.norm), &mlp.first);
    let h = match mlp.activation {
        MlpActivation::Gelu => gelu(&h),
        MlpActivation::QuickGelu => quick_gelu(&h),
        MlpActivation::Geglu => geglu(&h),
    };
    linear_add(&h, &mlp.second, x)
}

/// `silu` of a layer's result, without a gradient.
pub fn linear_silu(x: &Tensor<2>, layer: &Linear) -> Tensor<2> {
    let at_once = match Backend::of(x) {
        Backend::Wgpu => wgsl::activated(x, layer, Between::Activation(Activation::Silu)),
        _ => None,
    };
    match at_once {
        Some([_, h]) => h,
        None => silu(&linear(&Var::constant(x.clone()), layer)).into_value(),
    }
}

fn on_the_gpu<const D: usize>(x: &Var<D>, mlp: &Mlp) -> Var<D> {
    let between = mlp.activation.between();
    let folded = mlp.folded.as_ref();
    let at_once = folded.and_then(|norm| wgsl::normed_activated(&as_rows(x.value()), norm, &mlp.first.weight, between));
    if let Some(inner) = at_once {
        return recorded(x, x, mlp, inner, true);
    }
    let normed = layer_norm(x, &mlp.norm);
    let rows = as_rows(normed.value());
    let inner = wgsl::activated(&rows, &mlp.first, between).unwrap_or_else(|| {
        let before = forward(&rows, &mlp.first, None);
        let h = match between {
            Between::Activation(which) => pointwise_forward(&before, which),
            Between::Geglu => geglu_forward(&before),
        };
        [before, h]
    });
    recorded(&normed, x, mlp, inner, false)
}

/// What the second layer makes of `h`, with `x` added. `input` and what goes into the activation, `before`, made it: `input`
/// by the first layer, which normalised it itself where `normalises`.
fn recorded<const D: usize>(
    input: &Var<D>,
    x: &Var<D>,
    mlp: &Mlp,
    [before, h]: [Tensor<2>; 2],
    normalises: bool,
) -> Var<D> {
    let y = forward(&h, &mlp.second, Some(&as_rows(x.value()))).reshape(x.dims());
    if !x.is_tracked() {
        return Var::constant(y);
    }
    let (link, dims, between) = (input.link(), input.dims(), mlp.activation.between());
    let (first, second) = (mlp.first.weight.clone(), mlp.second.weight.clone());
    let normalised = normalises.then(|| (mlp.norm.clone(), as_rows(input.value())));
    Var::from_op_added(y, input, Some(x), move |dy, gradients| {
        gradients.add_onto(&link, |collected| {
            let collected = collected.as_ref().map(as_rows);
            let dbefore = through_activation(&as_rows(&dy), &second, &before, between);
            let dx = match normalised {
                Some((norm, x)) => {
                    let dnormed = backward(&dbefore, &first, None);
                    let dx = wgsl::layer_norm_backward(&x, &dnormed, &norm, collected.as_ref());
                    dx.expect("as many rows as went forward")
                }
                None => backward(&dbefore, &first, collected.as_ref()),
            };
            dx.reshape(dims)
        });
    })
}

/// The gradient to what went into the activation, from that to the result of the second layer.
fn through_activation(dy: &Tensor<2>, second: &Weight<2>, before: &Tensor<2>, between: Between) -> Tensor<2> {
    wgsl::slope(dy, second, before, between).unwrap_or_else(|| {
        let dh = backward(dy, second, None);
        match between {
            Between::Activation(which) => pointwise_backward(before, &dh, which),
            Between::Geglu => geglu_backward(before, &dh),
        }
    })
}
