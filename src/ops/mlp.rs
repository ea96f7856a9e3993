//! Two linear layers with an activation between them, behind a layer normalisation.

use burn::tensor::Tensor;

use super::activation::{geglu_backward, geglu_forward, pointwise_backward, pointwise_forward};
use super::linear::{backward, forward};
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

/// `x` and what an MLP makes of its normalisation. On a GPU the products do what is around them, where they can.
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
    let at_once = folded.and_then(|norm| wgsl::normed_activated(&rows(x), norm, &mlp.first.weight, between));
    if let Some(inner) = at_once {
        return recorded(x, x, mlp, inner, Some((mlp.norm.clone(), rows(x))));
    }
    let normed = layer_norm(x, &mlp.norm);
    let inner = wgsl::activated(&rows(&normed), &mlp.first, between).unwrap_or_else(|| {
        let before = forward(&rows(&normed), &mlp.first, None);
        let h = match between {
            Between::Activation(which) => pointwise_forward(&before, which),
            Between::Geglu => geglu_forward(&before),
        };
        [before, h]
    });
    recorded(&normed, x, mlp, inner, None)
}

fn rows<const D: usize>(x: &Var<D>) -> Tensor<2> {
    let dims = x.dims();
    x.value().clone().reshape([dims.iter().product::<usize>() / dims[D - 1], dims[D - 1]])
}

/// What the second layer makes of `h`, with `x` added. `input` and what goes into the activation, `before`, made it: `input`
/// by the first layer, or by a normalisation, too, if that is given, with `input` as rows.
fn recorded<const D: usize>(
    input: &Var<D>,
    x: &Var<D>,
    mlp: &Mlp,
    [before, h]: [Tensor<2>; 2],
    norm: Option<(Norm, Tensor<2>)>,
) -> Var<D> {
    let y = forward(&h, &mlp.second, Some(&rows(x))).reshape(x.dims());
    let (link, dims, between) = (input.link(), input.dims(), mlp.activation.between());
    let (first, second) = (mlp.first.weight.clone(), mlp.second.weight.clone());
    let flat = rows(input).dims();
    Var::from_op_added(y, input, Some(x), move |dy, gradients| {
        gradients.add_onto(&link, |collected| {
            let collected = collected.map(|collected| collected.reshape(flat));
            let dbefore = through_activation(&dy.reshape(flat), &second, &before, between);
            let dx = match norm {
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
