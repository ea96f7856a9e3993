//! Normalisations with frozen scale and shift.

use burn::tensor::Tensor;

use super::{Var, Weight, wgsl};

/// The weights of a normalisation.
#[derive(Debug, Clone)]
pub struct Norm {
    /// Scale, `[C]`.
    pub weight: Weight<1>,
    /// Shift, `[C]`.
    pub bias: Weight<1>,
    /// Added to the variance.
    pub eps: f64,
    /// Groups of channels that are normalised together (group normalisation only).
    pub groups: usize,
}

/// Group normalisation of `[B, H, W, C]`.
pub fn group_norm(x: &Var<4>, norm: &Norm) -> Var<4> {
    grouped(x, norm, false)
}

/// Group normalisation of `[B, H, W, C]`, then `silu`.
pub fn group_norm_silu(x: &Var<4>, norm: &Norm) -> Var<4> {
    grouped(x, norm, true)
}

fn grouped(x: &Var<4>, norm: &Norm, with_silu: bool) -> Var<4> {
    let dims @ [batch, height, width, channels] = x.dims();
    let flat = x.value().clone().reshape([batch, height * width, channels]);
    let link = x.link();
    if super::on_wgpu(&flat) {
        let kernels = wgsl::GroupNorm { norm: norm.clone(), with_silu };
        let y = kernels.forward(&flat).reshape(dims);
        return Var::from_op(y, &[x], move |dy, gradients| {
            gradients.add(&link, || kernels.backward(&flat, &dy.reshape(flat.dims())).reshape(dims));
        });
    }
    let (gamma, beta) = (norm.weight.f32(), norm.bias.f32());
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(&flat) {
        let eps = norm.eps as f32;
        let (y, moments) = super::cpu::group_norm(&flat, (&gamma, &beta), norm.groups, eps, with_silu);
        return Var::from_op(y.reshape(dims), &[x], move |dy, gradients| {
            gradients.add(&link, || {
                let dy = dy.reshape([batch, height * width, channels]);
                super::cpu::group_norm_backward(&flat, &dy, (&gamma, &beta), &moments, with_silu).reshape(dims)
            });
        });
    }
    let composition = Grouped::new(flat, gamma, beta, norm.groups, norm.eps);
    let z = composition.scaled();
    let y = if with_silu { super::activation::silu_reference(&z) } else { z };
    Var::from_op(y.reshape(dims), &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let dy = dy.reshape([batch, height * width, channels]);
            let dz = match with_silu {
                true => super::activation::silu_backward_reference(&composition.scaled(), &dy),
                false => dy,
            };
            composition.backward(dz).reshape(dims)
        });
    })
}

/// Group normalisation as a composition: what its forward and backward share. Only `x` and the moments are kept.
struct Grouped {
    x: Tensor<3>,
    /// `[B, 1, G, 1]`.
    mean: Tensor<4>,
    /// `[B, 1, G, 1]`.
    rstd: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
}

impl Grouped {
    fn new(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, groups: usize, eps: f64) -> Self {
        let [batch, positions, channels] = x.dims();
        let grouped = x.clone().reshape([batch, positions, groups, channels / groups]);
        let mean = grouped.clone().mean_dim(1).mean_dim(3);
        let centred = grouped - mean.clone();
        let variance = (centred.clone() * centred).mean_dim(1).mean_dim(3);
        Self { x, mean, rstd: (variance + eps).sqrt().recip(), gamma, beta }
    }

    fn grouped(&self, x: Tensor<3>) -> Tensor<4> {
        let ([batch, positions, channels], [_, _, groups, _]) = (x.dims(), self.mean.dims());
        x.reshape([batch, positions, groups, channels / groups])
    }

    fn normalised(&self) -> Tensor<4> {
        (self.grouped(self.x.clone()) - self.mean.clone()) * self.rstd.clone()
    }

    fn scaled(&self) -> Tensor<3> {
        let normalised = self.normalised().reshape(self.x.dims());
        normalised * self.gamma.clone().unsqueeze::<3>() + self.beta.clone().unsqueeze::<3>()
    }

    fn backward(&self, dz: Tensor<3>) -> Tensor<3> {
        let g = self.grouped(dz * self.gamma.clone().unsqueeze::<3>());
        let xhat = self.normalised();
        let a = g.clone().mean_dim(1).mean_dim(3);
        let b = (g.clone() * xhat.clone()).mean_dim(1).mean_dim(3);
        ((g - a - xhat * b) * self.rstd.clone()).reshape(self.x.dims())
    }
}

/// Layer normalisation over the last axis.
pub fn layer_norm<const D: usize>(x: &Var<D>, norm: &Norm) -> Var<D> {
    let dims = x.dims();
    let channels = dims[D - 1];
    let rows = dims.iter().product::<usize>() / channels;
    let flat = x.value().clone().reshape([rows, channels]);
    let link = x.link();
    if super::on_wgpu(&flat)
        && let Some(y) = wgsl::layer_norm(&flat, norm)
    {
        let norm = norm.clone();
        return Var::from_op(y.reshape(dims), &[x], move |dy, gradients| {
            gradients.add(&link, || {
                let dx = wgsl::layer_norm_backward(&flat, &dy.reshape([rows, channels]), &norm);
                dx.expect("as many rows as went forward").reshape(dims)
            });
        });
    }
    let (gamma, beta, eps) = (norm.weight.f32(), norm.bias.f32(), norm.eps);
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(&flat) {
        let y = super::cpu::layer_norm(&flat, (&gamma, &beta), eps as f32).reshape(dims);
        return Var::from_op(y, &[x], move |dy, gradients| {
            gradients.add(&link, || {
                let dy = dy.reshape([rows, channels]);
                super::cpu::layer_norm_backward(&flat, &dy, &gamma, eps as f32).reshape(dims)
            });
        });
    }
    let (xhat, _) = normalised_rows(&flat, eps);
    let y = xhat * gamma.clone().unsqueeze::<2>() + beta.unsqueeze::<2>();
    Var::from_op(y.reshape(dims), &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let (xhat, rstd) = normalised_rows(&flat, eps);
            let g = dy.reshape([rows, channels]) * gamma.unsqueeze::<2>();
            let a = g.clone().mean_dim(1);
            let b = (g.clone() * xhat.clone()).mean_dim(1);
            ((g - a - xhat * b) * rstd).reshape(dims)
        });
    })
}

/// Rows of mean 0 and variance 1, and the factors that made them so.
fn normalised_rows(x: &Tensor<2>, eps: f64) -> (Tensor<2>, Tensor<2>) {
    let centred = x.clone() - x.clone().mean_dim(1);
    let rstd = ((centred.clone() * centred.clone()).mean_dim(1) + eps).sqrt().recip();
    (centred * rstd.clone(), rstd)
}
