//! Linear layers behind a layer normalisation.

use super::linear::{as_rows, backward_of_all, forward};
use super::wgsl::{self, FoldedNorm};
use super::{Backend, Linear, Linears, Norm, Var, layer_norm, linears};

/// Linear layers of the same input, behind a layer normalisation of it.
#[derive(Debug, Clone)]
pub struct NormedLinears {
    norm: Norm,
    layers: Linears,
    /// On a GPU that is hardware, the product of all layers normalises its rows itself.
    folded: Option<FoldedNorm>,
}

impl NormedLinears {
    /// The layers behind `norm`.
    pub fn new(norm: Norm, layers: Vec<Linear>) -> Self {
        let layers = Linears::new(layers);
        let folded = layers.as_one().and_then(|layer| folded(&norm, layer));
        Self { norm, layers, folded }
    }
}

/// A normalisation as part of the layer behind it, where there are kernels for that. What stands in for a weight that is
/// missing, or for all of them in a listing, has other sizes.
pub(super) fn folded(norm: &Norm, layer: &Linear) -> Option<FoldedNorm> {
    let [columns, inner] = layer.weight.dims();
    let fits = norm.weight.dims() == [inner] && norm.bias.dims() == [inner];
    let biased = layer.bias.as_ref().is_none_or(|bias| bias.dims() == [columns]);
    if !fits || !biased {
        return None;
    }
    let gamma = norm.weight.f32();
    if !wgsl::folds_norms(&gamma, [columns, inner]) {
        return None;
    }
    let through = |row, layer: &Linear| forward(&row, layer, None).reshape([columns]);
    let sums = through(gamma.clone().reshape([1, inner]), &Linear { weight: layer.weight.clone(), bias: None });
    let bias = through(norm.bias.f32().reshape([1, inner]), layer);
    Some(FoldedNorm { gamma, sums, bias, eps: norm.eps as f32 })
}

/// The results of layers behind a normalisation of `x`.
pub fn normed_linears<const D: usize>(x: &Var<D>, layers: &NormedLinears) -> Vec<Var<D>> {
    on_the_gpu(x, layers).unwrap_or_else(|| linears(&layer_norm(x, &layers.norm), &layers.layers))
}

fn on_the_gpu<const D: usize>(x: &Var<D>, layers: &NormedLinears) -> Option<Vec<Var<D>>> {
    if Backend::of(x.value()) != Backend::Wgpu {
        return None;
    }
    let (folded, all) = (layers.folded.as_ref()?, &layers.layers.as_one()?.weight);
    let (flat, mut shape) = (as_rows(x.value()), x.dims());
    let results = wgsl::normed_planes(&flat, folded, all, layers.layers.count())?;
    shape[D - 1] = results[0].dims()[1];
    let results = results.into_iter().map(|y| y.reshape(shape));
    if !x.is_tracked() {
        return Some(results.map(Var::constant).collect());
    }
    let (all, each, norm) = (all.clone(), layers.layers.weights(), layers.norm.clone());
    let (link, dims) = (x.link(), x.dims());
    Some(Var::from_op_with_results(results.collect(), &[x], move |dys, gradients| {
        gradients.add_onto(&link, |collected| {
            let dh = backward_of_all(&dys, &all, &each, None);
            let collected = collected.as_ref().map(as_rows);
            let dx = wgsl::layer_norm_backward(&flat, &dh, &norm, collected.as_ref());
            dx.expect("as many rows as went forward").reshape(dims)
        });
    }))
}
