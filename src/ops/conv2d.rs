//! Convolutions of channels-last feature maps with frozen weights.

use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::geometry::Geometry;
use super::wgsl::{self, Bias};
use super::{Backend, Var, Weight};

/// The weights of a convolution and how its window moves.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `[Cout, kh * kw * Cin]`: PyTorch's `[Cout, Cin, kh, kw]` with the channels moved last, so that a window of a
    /// channels-last feature map and a row of the weight have the same order.
    pub weight: Weight<2>,
    /// `[Cout]`.
    pub bias: Option<Weight<1>>,
    /// `[kh, kw]`.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next, in both directions.
    pub stride: usize,
    /// Zeros around the picture: top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Conv2d {
    fn geometry(&self, input: [usize; 2]) -> Geometry {
        Geometry::new(input, self.kernel, self.stride, self.padding)
    }
}

/// The convolution of `x` `[B, H, W, Cin]`: `[B, H', W', Cout]`. Its backward needs no activation.
///
/// Where a `silu` comes after one in the models, a normalisation stands between them, whose kernel applies it.
pub fn conv2d(x: &Var<4>, layer: &Conv2d) -> Var<4> {
    recorded(x, layer, bias_of(layer), None)
}

/// [`conv2d`] with a `residual` `[B, H', W', Cout]` added, as [`super::linear_add`] does.
pub fn conv2d_add(x: &Var<4>, layer: &Conv2d, residual: &Var<4>) -> Var<4> {
    recorded(x, layer, bias_of(layer), Some(residual))
}

/// What is added to the channels of samples: some columns of a table `[B, width]`.
#[derive(Clone)]
pub struct Shift {
    /// A row for each sample.
    pub table: Var<2>,
    /// The first of the columns, a multiple of four.
    pub first: usize,
}

/// [`conv2d`] by a layer without a bias, plus a number for each channel of each sample.
pub fn conv2d_shifted(x: &Var<4>, layer: &Conv2d, shift: &Shift) -> Var<4> {
    debug_assert!(layer.bias.is_none() && shift.table.dims()[0] == x.dims()[0]);
    let geometry = layer.geometry([x.dims()[1], x.dims()[2]]);
    let y = forward(x.value(), layer, geometry, Bias::BySample(shift), None);
    let (x_link, table_link, weight) = (x.link(), shift.table.link(), layer.weight.clone());
    let ([batch, _, _, channels], [_, width], first) = (y.dims(), shift.table.dims(), shift.first);
    Var::from_op(y, &[x, &shift.table], move |dy, gradients| {
        // Only its own columns of the table: those of other layers stay as they are.
        gradients.add_onto(&table_link, |collected| {
            let sums = dy.clone().sum_dim(2).sum_dim(1).reshape([batch, channels]);
            let columns = [0..batch, first..first + channels];
            let (all, sums) = match collected {
                Some(all) => (all.clone(), sums + all.slice(columns.clone())),
                None => (Tensor::zeros([batch, width], &dy.device()), sums),
            };
            all.slice_assign(columns, sums)
        });
        gradients.add_onto(&x_link, |collected| backward(&dy, &weight, geometry, collected));
    })
}

fn bias_of(layer: &Conv2d) -> Bias<'_> {
    layer.bias.as_ref().map_or(Bias::None, Bias::Shared)
}

fn recorded(x: &Var<4>, layer: &Conv2d, bias: Bias<'_>, residual: Option<&Var<4>>) -> Var<4> {
    let [batch, height, width, _] = x.dims();
    if layer.kernel == [1, 1] && layer.stride == 1 {
        let weights = super::Linear { weight: layer.weight.clone(), bias: layer.bias.clone() };
        return match residual {
            Some(residual) => super::linear_add(x, &weights, residual),
            None => super::linear(x, &weights),
        };
    }
    let geometry = layer.geometry([height, width]);
    let y = forward(x.value(), layer, geometry, bias, residual.map(Var::value));
    debug_assert_eq!(y.dims()[..3], [batch, geometry.output[0], geometry.output[1]]);
    debug_assert!(residual.is_none_or(|residual| residual.dims() == y.dims()));
    let (link, weight) = (x.link(), layer.weight.clone());
    Var::from_op_added(y, x, residual, move |dy, gradients| {
        gradients.add_onto(&link, |collected| backward(&dy, &weight, geometry, collected));
    })
}

fn forward(
    x: &Tensor<4>,
    layer: &Conv2d,
    geometry: Geometry,
    bias: Bias<'_>,
    residual: Option<&Tensor<4>>,
) -> Tensor<4> {
    let composed = || shifted(reference(x, layer, geometry, residual), bias);
    match Backend::of(x) {
        Backend::Wgpu => wgsl::conv2d(x, &layer.weight, bias, residual, geometry).unwrap_or_else(composed),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => shifted(cpu::conv2d(x, &layer.weight, layer.bias.as_ref(), residual, geometry), bias),
        Backend::Reference => composed(),
    }
}

/// Adds the bias of each sample, where there is one; the other kind is the layer's own.
fn shifted(y: Tensor<4>, bias: Bias<'_>) -> Tensor<4> {
    match bias {
        Bias::BySample(shift) => {
            let [batch, _, _, channels] = y.dims();
            y + shift.table.value().clone().narrow(1, shift.first, channels).reshape([batch, 1, 1, channels])
        }
        Bias::None | Bias::Shared(_) => y,
    }
}

fn reference(x: &Tensor<4>, layer: &Conv2d, geometry: Geometry, residual: Option<&Tensor<4>>) -> Tensor<4> {
    let (weight, bias) = (layer.weight.f32(), layer.bias.as_ref().map(Weight::f32));
    // Burn's convolution is channels-last inside: a permuted view of our layout costs it no copy.
    let x = padded(x.clone(), geometry.padding).permute([0, 3, 1, 2]);
    let options = ConvOptions::new([geometry.stride; 2], [0, 0], [1, 1], 1);
    let y = module::conv2d(x, channels_first(&weight, geometry.kernel), bias, options).permute([0, 2, 3, 1]);
    match residual {
        Some(residual) => y + residual.clone(),
        None => y,
    }
}

/// The gradient to the input, on top of what was `collected`.
fn backward(dy: &Tensor<4>, weight: &Weight<2>, geometry: Geometry, collected: Option<Tensor<4>>) -> Tensor<4> {
    if Backend::of(dy) == Backend::Wgpu
        && let Some(sum) = wgsl::conv2d_backward(dy, weight, geometry, collected.as_ref())
    {
        return sum;
    }
    let dx = match Backend::of(dy) {
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => cpu::conv2d_backward(dy, weight, geometry),
        Backend::Wgpu | Backend::Reference => reference_backward(dy, weight, geometry),
    };
    match collected {
        Some(collected) => collected + dx,
        None => dx,
    }
}

fn reference_backward(dy: &Tensor<4>, weight: &Weight<2>, geometry: Geometry) -> Tensor<4> {
    let weight = weight.f32();
    // The transposed convolution gives the gradient to the padded input, up to the last row and column that a window
    // reached; what no window saw gets zeros, and the padding is cut off.
    let Geometry { input: [height, width], kernel, stride, padding: [top, left, bottom, right], output } = geometry;
    let unseen =
        |size: usize, padding: usize, output: usize, kernel: usize| size + padding - ((output - 1) * stride + kernel);
    let extra = [unseen(height, top + bottom, output[0], kernel[0]), unseen(width, left + right, output[1], kernel[1])];
    let options = ConvTransposeOptions::new([stride; 2], [0, 0], extra, [1, 1], 1);
    let batch = dy.dims()[0];
    let dy = dy.clone().permute([0, 3, 1, 2]);
    let dx = module::conv_transpose2d(dy, channels_first(&weight, kernel), None, options);
    dx.permute([0, 2, 3, 1]).slice([0..batch, top..top + height, left..left + width])
}

/// The weight as PyTorch's `[Cout, Cin, kh, kw]`, a view.
fn channels_first(weight: &Tensor<2>, [kh, kw]: [usize; 2]) -> Tensor<4> {
    let [outputs, width] = weight.dims();
    weight.clone().reshape([outputs, kh, kw, width / (kh * kw)]).permute([0, 3, 1, 2])
}

/// `[B, H, W, C]` with zeros around it.
fn padded(x: Tensor<4>, [top, left, bottom, right]: [usize; 4]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let device = x.device();
    let band = |h: usize, w: usize| Tensor::<4>::zeros([batch, h, w, channels], &device);
    let rows = [top, bottom].map(|rows| (rows > 0).then(|| band(rows, width)));
    let [above, below] = rows;
    let x = Tensor::cat(above.into_iter().chain([x]).chain(below).collect(), 1);
    let tall = height + top + bottom;
    let [before, after] = [left, right].map(|columns| (columns > 0).then(|| band(tall, columns)));
    Tensor::cat(before.into_iter().chain([x]).chain(after).collect(), 2)
}
