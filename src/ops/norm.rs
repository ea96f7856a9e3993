//! Normalisations with frozen scale and shift.

use burn::tensor::Tensor;

use super::wgsl::{self, Kernel};
use super::{Var, Weight};

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
    let (gamma, beta) = (norm.weight.f32(), norm.bias.f32());
    let link = x.link();
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
    if super::on_wgpu(&flat) {
        let launch = GroupNormKernel { groups: norm.groups, eps: norm.eps, with_silu };
        let y = launch.forward(&flat, &gamma, &beta).reshape(dims);
        return Var::from_op(y, &[x], move |dy, gradients| {
            gradients.add(&link, || {
                let dy = dy.reshape([batch, height * width, channels]);
                launch.backward(&flat, &dy, &gamma, &beta).reshape(dims)
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

/// Launches `shaders/group_norm.wgsl` and its backward.
struct GroupNormKernel {
    groups: usize,
    eps: f64,
    with_silu: bool,
}

impl GroupNormKernel {
    /// Invocations in a workgroup, as the kernels declare it.
    const LANES: u32 = 256;

    fn kernel(&self, name: &'static str, text: &'static str, x: &Tensor<3>) -> Kernel {
        let [_, positions, channels] = x.dims();
        let numbers = vec![
            ("positions", positions.to_string()),
            ("channels", channels.to_string()),
            ("groups", self.groups.to_string()),
            ("eps", format!("{:e}", self.eps)),
            ("silu", u32::from(self.with_silu).to_string()),
        ];
        Kernel::new(name, text, numbers)
    }

    fn forward(&self, x: &Tensor<3>, gamma: &Tensor<1>, beta: &Tensor<1>) -> Tensor<3> {
        let kernel = self.kernel(
            "group_norm",
            concat!(include_str!("../../shaders/shared/group.wgsl"), include_str!("../../shaders/group_norm.wgsl")),
            x,
        );
        let groups = (x.dims()[0] * self.groups) as u32;
        wgsl::launch(kernel, &[x, gamma, beta], x.dims(), groups, Self::LANES)
    }

    fn backward(&self, x: &Tensor<3>, dy: &Tensor<3>, gamma: &Tensor<1>, beta: &Tensor<1>) -> Tensor<3> {
        let text = concat!(
            include_str!("../../shaders/shared/group.wgsl"),
            include_str!("../../shaders/group_norm_backward.wgsl")
        );
        let kernel = self.kernel("group_norm_backward", text, x);
        let groups = (x.dims()[0] * self.groups) as u32;
        wgsl::launch(kernel, &[x, dy, gamma, beta], x.dims(), groups, Self::LANES)
    }
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
    let (gamma, beta, eps) = (norm.weight.f32(), norm.bias.f32(), norm.eps);
    let link = x.link();
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
