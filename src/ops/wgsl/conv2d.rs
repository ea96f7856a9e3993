//! Convolutions as products of windows that are never written out.

use std::mem::offset_of;

use burn::tensor::Tensor;

use super::device::window_method;
use super::halves::{HalfTile, half_tile};
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::Operand;
use super::tile::ProductMethod;
use super::uniform::uniform_sizes;
use crate::ops::geometry::Geometry;
use crate::ops::{Shift, Weight};

uniform_sizes! {
    /// The sizes of a convolution or of its gradient.
    struct ConvSizes {
        batch: u32,
        columns: u32,
        height: u32,
        width: u32,
        channels: u32,
        out_height: u32,
        out_width: u32,
        window_height: u32,
        window_width: u32,
        stride: u32,
        top: u32,
        left: u32,
        bias_first: u32,
        bias_pitch: u32,
        first_group: u32,
    }
}

impl ConvSizes {
    /// `columns` and `channels` are those of the product: what is written and what is read.
    fn new(batch: usize, columns: usize, channels: usize, geometry: Geometry) -> Self {
        let Geometry { input: [height, width], kernel, stride, padding: [top, left, ..], output } = geometry;
        Self {
            batch: batch as u32,
            columns: columns as u32,
            height: height as u32,
            width: width as u32,
            channels: channels as u32,
            out_height: output[0] as u32,
            out_width: output[1] as u32,
            window_height: kernel[0] as u32,
            window_width: kernel[1] as u32,
            stride: stride as u32,
            top: top as u32,
            left: left as u32,
            bias_first: 0,
            bias_pitch: 0,
            first_group: 0,
        }
    }
}

/// The axes along which rows lie.
const CHANNELS: Row = Row::Axis(0);
const COLUMNS: Row = Row::Axis(1);

pub(super) static FORWARD: Kernel<ProductMethod, ConvSizes> = Kernel::new(
    |method| method.file("conv2d", "conv2d_blocks"),
    ProductMethod::lanes,
    &[],
    &[
        Buffer { name: "map", role: Role::Activation, row: CHANNELS },
        Buffer { name: "weight", role: Role::Matrix, row: CHANNELS },
        Buffer { name: "bias", role: Role::OptionalFactor, row: COLUMNS },
        Buffer { name: "residual", role: Role::OptionalActivation, row: COLUMNS },
        Buffer { name: "result", role: Role::Result, row: COLUMNS },
    ],
);
pub(super) static BACKWARD: Kernel<ProductMethod, ConvSizes> = Kernel::new(
    |method| method.file("conv2d_backward", "conv2d_backward_blocks"),
    ProductMethod::lanes,
    &[],
    &[
        Buffer { name: "map", role: Role::Activation, row: CHANNELS },
        Buffer { name: "weight", role: Role::Matrix, row: COLUMNS },
        Buffer { name: "collected", role: Role::OptionalActivation, row: COLUMNS },
        Buffer { name: "result", role: Role::Result, row: COLUMNS },
    ],
);

/// [`FORWARD`] in f16: rows of all buffers are multiples of four values long.
pub(super) static HALF_FORWARD: Kernel<HalfTile, ConvSizes> = Kernel::new(
    |tile| tile.file("conv2d_matrices", "conv2d"),
    HalfTile::lanes,
    &[("by_columns", 1)],
    &[
        Buffer { name: "map", role: Role::Activation, row: Row::Fours },
        Buffer { name: "weight", role: Role::Matrix, row: Row::Fours },
        Buffer { name: "bias", role: Role::OptionalFactor, row: Row::Fours },
        Buffer { name: "residual", role: Role::OptionalActivation, row: Row::Fours },
        Buffer { name: "result", role: Role::Result, row: Row::Fours },
    ],
);
/// [`BACKWARD`] in f16, likewise.
pub(super) static HALF_BACKWARD: Kernel<HalfTile, ConvSizes> = Kernel::new(
    |tile| tile.file("conv2d_backward_matrices", "conv2d_backward"),
    HalfTile::lanes,
    &[("by_columns", 0)],
    &[
        Buffer { name: "map", role: Role::Activation, row: Row::Fours },
        Buffer { name: "weight", role: Role::Matrix, row: Row::Fours },
        Buffer { name: "collected", role: Role::OptionalActivation, row: Row::Fours },
        Buffer { name: "result", role: Role::Result, row: Row::Fours },
    ],
);

/// What is added to each pixel of a convolution.
#[derive(Clone, Copy)]
pub(in crate::ops) enum Bias<'a> {
    /// Nothing.
    None,
    /// The same in all samples, `[Cout]`.
    Shared(&'a Weight<1>),
    /// That of a sample.
    BySample(&'a Shift),
}

impl<'a> Bias<'a> {
    fn operand(&self) -> Option<&'a dyn Operand> {
        match *self {
            Bias::None => None,
            Bias::Shared(bias) => Some(bias),
            Bias::BySample(shift) => Some(shift.table.value()),
        }
    }

    /// Where the first sample's begins, and from one sample's to the next.
    fn place(&self) -> [u32; 2] {
        match self {
            Bias::None | Bias::Shared(_) => [0, 0],
            Bias::BySample(shift) => [shift.first, shift.table.dims()[1]].map(|columns| columns as u32),
        }
    }
}

/// The convolution of `x` `[B, H, W, Cin]`, plus a bias and a residual `[B, H', W', Cout]`; none if it has more windows
/// than a launch can take.
pub(in crate::ops) fn conv2d(
    x: &Tensor<4>,
    weight: &Weight<2>,
    bias: Bias<'_>,
    residual: Option<&Tensor<4>>,
    geometry: Geometry,
) -> Option<Tensor<4>> {
    let [batch, _, _, channels] = x.dims();
    let [columns, _] = weight.dims();
    let Geometry { output: [out_height, out_width], kernel, .. } = geometry;
    let rows = batch * out_height * out_width;
    let [bias_first, bias_pitch] = bias.place();
    // Rows of a multiple of four values are read in fours.
    if columns.is_multiple_of(4) && !(bias_first.is_multiple_of(4) && bias_pitch.is_multiple_of(4)) {
        return None;
    }
    let sizes = ConvSizes { bias_first, bias_pitch, ..ConvSizes::new(batch, columns, channels, geometry) };
    let residual = residual.map(|residual| residual as _);
    let (launch, axis) = match half_tile(x, weight, [rows, columns, channels]) {
        Some((tile, [across, down])) => {
            let inputs = [Some(x as _), Some(weight as _), bias.operand(), residual];
            (HALF_FORWARD.launch(tile, &[], &inputs, &sizes, [across, down, 1]), 1)
        }
        None => {
            let method = window_method(x, rows, columns);
            let [across, down] = method.groups(rows, columns)?;
            let inputs = [Some(x as _), Some(weight as _), bias.operand(), residual];
            (FORWARD.launch(method, &[channels, columns], &inputs, &sizes, [across, down, 1]), method.axis())
        }
    };
    let launch = launch.operations(&[rows, columns, channels, kernel[0], kernel[1]]);
    Some(launch.cut(axis, offset_of!(ConvSizes, first_group)).run([batch, out_height, out_width, columns]))
}

/// The gradient to the input of [`conv2d`], on top of what was `collected`; none if it has more pixels than a launch can take.
pub(in crate::ops) fn conv2d_backward(
    dy: &Tensor<4>,
    weight: &Weight<2>,
    geometry: Geometry,
    collected: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let [batch, out_height, out_width, channels] = dy.dims();
    let Geometry { input: [height, width], kernel, stride, .. } = geometry;
    let columns = weight.dims()[1] / (kernel[0] * kernel[1]);
    let rows = batch * height.div_ceil(stride) * width.div_ceil(stride);
    let (sizes, classes) = (ConvSizes::new(batch, columns, channels, geometry), stride * stride);
    let collected = collected.map(|collected| collected as _);
    let inputs = [Some(dy as _), Some(weight as _), collected];
    let (launch, axis) = match half_tile(dy, weight, [rows, columns, channels]) {
        Some((tile, [across, down])) => (HALF_BACKWARD.launch(tile, &[], &inputs, &sizes, [across, down, classes]), 1),
        None => {
            let method = window_method(dy, rows, columns);
            let [across, down] = method.groups(rows, columns)?;
            (BACKWARD.launch(method, &[channels, columns], &inputs, &sizes, [across, down, classes]), method.axis())
        }
    };
    let launch = launch.operations(&[batch, out_height, out_width, channels, kernel[0], kernel[1], columns]);
    Some(launch.cut(axis, offset_of!(ConvSizes, first_group)).run([batch, height, width, columns]))
}
