//! Normalisations with frozen scale and shift.

use burn::tensor::Tensor;

use super::activation::{silu_backward_reference, silu_reference};
#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::{Backend, Var, Weight, side_by_side, wgsl};

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
    let [batch, height, width, channels] = x.dims();
    let flat = x.value().clone().reshape([batch, height * width, channels]);
    match Backend::of(&flat) {
        Backend::Wgpu => {
            let kernels = wgsl::GroupNorm { norm: norm.clone(), with_silu };
            recorded(x, kernels.forward(&flat), move |dy, collected| {
                kernels.backward(&flat, &dy, collected.each_ref().map(Option::as_ref))
            })
        }
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => {
            let (gamma, beta, eps) = (norm.weight.f32(), norm.bias.f32(), norm.eps as f32);
            let (y, moments) = cpu::group_norm(&flat, (&gamma, &beta), norm.groups, eps, with_silu);
            recorded(x, y, move |dy, collected| {
                plus(cpu::group_norm_backward(&flat, &dy, (&gamma, &beta), &moments, with_silu), collected)
            })
        }
        Backend::Reference => {
            let composition = Grouped::new(flat, norm);
            let z = composition.scaled();
            recorded(x, if with_silu { silu_reference(&z) } else { z }, move |dy, collected| {
                let dz = if with_silu { silu_backward_reference(&composition.scaled(), &dy) } else { dy };
                plus(composition.backward(dz), collected)
            })
        }
    }
}

/// [`group_norm_silu`] of two maps of the same size, channel after channel ([`side_by_side`]); and the two in one.
pub fn group_norm_silu_joined(x: &Var<4>, skip: &Var<4>, norm: &Norm) -> [Var<4>; 2] {
    if Backend::of(x.value()) != Backend::Wgpu {
        let joined = side_by_side(&[x.clone(), skip.clone()]);
        return [group_norm_silu(&joined, norm), joined];
    }
    let ([batch, height, width, first], [_, _, _, second]) = (x.dims(), skip.dims());
    let flat = move |map: &Tensor<4>, channels: usize| map.clone().reshape([batch, height * width, channels]);
    let kernels = wgsl::GroupNorm { norm: norm.clone(), with_silu: true };
    let [y, joined] = kernels.forward_joined(&flat(x.value(), first), &flat(skip.value(), second));
    let shape = [batch, height, width, first + second];
    let values = [y, joined.clone()].map(|value| value.reshape(shape)).to_vec();
    let links = [x.link(), skip.link()];
    let results = Var::from_op_with_results(values, &[x, skip], move |mut dys, gradients| {
        let (collected, dy) = (dys.pop().flatten(), dys.pop().flatten());
        let shares = match dy {
            Some(dy) => {
                let collected = collected.map(|collected| flat(&collected, first + second));
                let shares = kernels.backward_joined(first, &joined, &flat(&dy, first + second), collected.as_ref());
                let [dx, dskip] = shares;
                [dx.reshape([batch, height, width, first]), dskip.reshape([batch, height, width, second])]
            }
            None => {
                let dy = collected.expect("a result's gradient brought us here");
                [dy.clone().narrow(3, 0, first), dy.narrow(3, first, second)]
            }
        };
        links.iter().zip(shares).for_each(|(link, share)| gradients.add(link, || share));
    });
    <[Var<4>; 2]>::try_from(results).unwrap_or_else(|_| unreachable!("as many as were given"))
}

/// The result `y` of a normalisation of `x`, both seen in `E` axes, whose `backward` makes the gradient to `x` from
/// that to `y`, on top of what was collected: up to two tensors.
fn recorded<const D: usize, const E: usize>(
    x: &Var<D>,
    y: Tensor<E>,
    backward: impl FnOnce(Tensor<E>, [Option<Tensor<E>>; 2]) -> Tensor<E> + 'static,
) -> Var<D> {
    let (link, dims, flat) = (x.link(), x.dims(), y.dims());
    Var::from_op(y.reshape(dims), &[x], move |dy, gradients| {
        gradients.add_onto_two(&link, |collected| {
            let collected = collected.map(|collected| collected.map(|tensor| tensor.reshape(flat)));
            backward(dy.reshape(flat), collected).reshape(dims)
        });
    })
}

/// Adds what kernels add themselves.
fn plus<const D: usize>(dx: Tensor<D>, collected: [Option<Tensor<D>>; 2]) -> Tensor<D> {
    match sum(collected) {
        Some(collected) => collected + dx,
        None => dx,
    }
}

fn sum<const D: usize>(collected: [Option<Tensor<D>>; 2]) -> Option<Tensor<D>> {
    collected.into_iter().flatten().reduce(|sum, more| sum + more)
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
    fn new(x: Tensor<3>, norm: &Norm) -> Self {
        let Norm { weight, bias, eps, groups } = norm;
        let (groups, [batch, positions, channels]) = (*groups, x.dims());
        let grouped = x.clone().reshape([batch, positions, groups, channels / groups]);
        let mean = grouped.clone().mean_dim(1).mean_dim(3);
        let centred = grouped - mean.clone();
        let variance = (centred.clone() * centred).mean_dim(1).mean_dim(3);
        Self { x, mean, rstd: (variance + *eps).sqrt().recip(), gamma: weight.f32(), beta: bias.f32() }
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
    match Backend::of(&flat) {
        Backend::Wgpu => match wgsl::layer_norm(&flat, norm) {
            Some(y) => {
                let norm = norm.clone();
                recorded(x, y, move |dy, collected| {
                    wgsl::layer_norm_backward(&flat, &dy, &norm, sum(collected).as_ref())
                        .expect("as many rows as went forward")
                })
            }
            None => by_composition(x, flat, norm),
        },
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => {
            let (gamma, beta, eps) = (norm.weight.f32(), norm.bias.f32(), norm.eps as f32);
            let y = cpu::layer_norm(&flat, (&gamma, &beta), eps);
            recorded(x, y, move |dy, collected| plus(cpu::layer_norm_backward(&flat, &dy, &gamma, eps), collected))
        }
        Backend::Reference => by_composition(x, flat, norm),
    }
}

/// The layer normalisation of `x`, seen as rows.
fn by_composition<const D: usize>(x: &Var<D>, rows: Tensor<2>, norm: &Norm) -> Var<D> {
    let (gamma, beta, eps) = (norm.weight.f32(), norm.bias.f32(), norm.eps);
    let (xhat, _) = normalised_rows(&rows, eps);
    let y = xhat * gamma.clone().unsqueeze::<2>() + beta.unsqueeze::<2>();
    recorded(x, y, move |dy: Tensor<2>, collected| {
        let (xhat, rstd) = normalised_rows(&rows, eps);
        let g = dy * gamma.unsqueeze::<2>();
        let a = g.clone().mean_dim(1);
        let b = (g.clone() * xhat.clone()).mean_dim(1);
        plus((g - a - xhat * b) * rstd, collected)
    })
}

/// Rows of mean 0 and variance 1, and the factors that made them so.
fn normalised_rows(x: &Tensor<2>, eps: f64) -> (Tensor<2>, Tensor<2>) {
    let centred = x.clone() - x.clone().mean_dim(1);
    let rstd = ((centred.clone() * centred.clone()).mean_dim(1) + eps).sqrt().recip();
    (centred * rstd.clone(), rstd)
}
