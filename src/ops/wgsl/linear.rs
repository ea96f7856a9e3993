//! Linear layers.

use std::mem::offset_of;

use burn::tensor::Tensor;

use super::device::method;
use super::halves::{HalfTile, half_tile};
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::{Operand, pitch_of, planes_of, side_by_side};
use super::primitive;
use super::tile::ProductMethod;
use super::uniform::uniform_sizes;
use crate::ops::Weight;

uniform_sizes! {
    /// The sizes of a product.
    struct LinearSizes {
        rows: u32,
        columns: u32,
        inner: u32,
        plane: u32,
        plane_pitch: u32,
        left_plane: u32,
        left_pitch: u32,
        first_group: u32,
        eps: f32,
    }
}

impl LinearSizes {
    /// Those of a product whose left factor and result are one plane each.
    pub fn whole([rows, columns, inner]: [usize; 3]) -> Self {
        let [rows, columns, inner] = [rows, columns, inner].map(|axis| axis as u32);
        let (plane, left_plane) = (columns, inner);
        Self { rows, columns, inner, plane, plane_pitch: 0, left_plane, left_pitch: 0, first_group: 0, eps: 0.0 }
    }

    /// Where the sizes have the number of workgroups before a dispatch's own, in bytes.
    pub const FIRST_GROUP: usize = offset_of!(LinearSizes, first_group);

    /// Those of a product whose result is planes of so many columns, each so many values after the one before.
    pub fn in_planes(self, plane: usize, pitch: usize) -> Self {
        Self { plane: plane as u32, plane_pitch: pitch as u32, ..self }
    }

    /// Those of a product whose rows are normalised before.
    pub fn normed(self, eps: f32) -> Self {
        Self { eps, ..self }
    }

    /// Rows, columns and the inner axis.
    fn axes(&self) -> [usize; 3] {
        [self.rows, self.columns, self.inner].map(|axis| axis as usize)
    }
}

/// The axes along which rows lie.
const INNER: Row = Row::Axis(0);
const COLUMNS: Row = Row::Axis(1);

/// `left right^T`, a layer going forward: the weight is `[columns, inner]`.
pub(super) static FORWARD: Kernel<ProductMethod, LinearSizes> =
    Kernel::new(file, ProductMethod::lanes, &[("by_columns", 1)], &buffers(INNER, Role::OptionalFactor));
/// `left right`, its gradient: the weight is `[inner, columns]`.
pub(super) static BACKWARD: Kernel<ProductMethod, LinearSizes> =
    Kernel::new(file, ProductMethod::lanes, &[("by_columns", 0)], &buffers(COLUMNS, Role::Absent));

/// [`FORWARD`] in f16.
pub(super) static HALF_FORWARD: Kernel<HalfTile, LinearSizes> =
    Kernel::new(half_file, HalfTile::lanes, &[("by_columns", 1)], &half_buffers(Role::OptionalFactor));
/// [`BACKWARD`] in f16.
pub(super) static HALF_BACKWARD: Kernel<HalfTile, LinearSizes> =
    Kernel::new(half_file, HalfTile::lanes, &[("by_columns", 0)], &half_buffers(Role::Absent));

fn half_file(tile: HalfTile) -> &'static str {
    tile.file("linear_matrices", "linear")
}

/// Rows of all of them are multiples of four values long.
const fn half_buffers(bias: Role) -> [Buffer; 5] {
    [
        Buffer { name: "left", role: Role::Activation, row: Row::Fours },
        Buffer { name: "right", role: Role::Matrix, row: Row::Fours },
        Buffer { name: "bias", role: bias, row: Row::Fours },
        Buffer { name: "residual", role: Role::OptionalActivation, row: Row::Fours },
        Buffer { name: "result", role: Role::Result, row: Row::Fours },
    ]
}

fn file(method: ProductMethod) -> &'static str {
    method.file("linear", "linear_blocks")
}

const fn buffers(right: Row, bias: Role) -> [Buffer; 5] {
    [
        Buffer { name: "left", role: Role::Activation, row: INNER },
        Buffer { name: "right", role: Role::Matrix, row: right },
        Buffer { name: "bias", role: bias, row: COLUMNS },
        Buffer { name: "residual", role: Role::OptionalActivation, row: COLUMNS },
        Buffer { name: "result", role: Role::Result, row: COLUMNS },
    ]
}

/// `x w^T + b`, plus a residual `[rows, columns]`; none if there are more rows than a launch can have.
pub(in crate::ops) fn linear(
    x: &Tensor<2>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    residual: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [columns, inner] = weight.dims();
    let added = [bias.map(|bias| bias as _), residual.map(|residual| residual as _)];
    let sizes = LinearSizes::whole([x.dims()[0], columns, inner]);
    half_product(&HALF_FORWARD, x, weight, added, &sizes).or_else(|| product(&FORWARD, x, weight, added, &sizes))
}

/// `dy w`, plus what was collected before `[rows, columns]`; none if there are more rows than a launch can have.
pub(in crate::ops) fn linear_backward(
    dy: &Tensor<2>,
    weight: &Weight<2>,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [inner, columns] = weight.dims();
    let added = [None, collected.map(|collected| collected as _)];
    let sizes = LinearSizes::whole([dy.dims()[0], columns, inner]);
    half_product(&HALF_BACKWARD, dy, weight, added, &sizes).or_else(|| product(&BACKWARD, dy, weight, added, &sizes))
}

/// [`linear_backward`] through several layers of the same shape whose weights are one, [`joined`](Weight::joined): the sum
/// of their gradients. None, too, if the gradients to their results do not lie side by side.
pub(in crate::ops) fn linear_backward_planes(
    dys: &[&Tensor<2>],
    weight: &Weight<2>,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let ([inner, columns], [rows, plane]) = (weight.dims(), dys.first()?.dims());
    let (left, pitch) = planes_of(dys)?;
    if !plane.is_multiple_of(4) || !pitch.is_multiple_of(4) {
        return None;
    }
    let whole = LinearSizes::whole([rows, columns, inner]);
    let sizes = LinearSizes { left_plane: plane as u32, left_pitch: pitch as u32, ..whole };
    let added = [None, collected.map(|collected| collected as _)];
    half_product(&HALF_BACKWARD, &left, weight, added, &sizes)
        .or_else(|| product(&BACKWARD, &left, weight, added, &sizes))
}

/// [`linear`] by several layers of the same shape whose weights are one, [`joined`](Weight::joined): the results of
/// each; none, too, if they cannot lie apart, or are too many values for one binding.
pub(in crate::ops) fn linear_planes(
    x: &Tensor<2>,
    weight: &Weight<2>,
    bias: Option<&Weight<1>>,
    planes: usize,
) -> Option<Vec<Tensor<2>>> {
    let ([columns, inner], [rows, _]) = (weight.dims(), x.dims());
    let plane = columns / planes;
    if !plane.is_multiple_of(4) {
        return None;
    }
    let results = side_by_side(&primitive(x)?, planes, &[rows, plane])?;
    let sizes = LinearSizes::whole([rows, columns, inner]).in_planes(plane, pitch_of(&[rows, plane]));
    let (bias, axes) = (bias.map(|bias| bias as _), [rows, columns, inner]);
    let (launch, axis) = match half_tile(x, weight, axes) {
        Some((tile, [across, down])) => {
            let inputs = [Some(x as _), Some(weight as _), bias, None];
            (HALF_FORWARD.launch(tile, &[], &inputs, &sizes, [across, down, 1]), 1)
        }
        None => {
            let method = method(x, rows, columns);
            let [across, down] = method.groups(rows, columns)?;
            let inputs = [Some(x as _), Some(weight as _), bias, None];
            (FORWARD.launch(method, &[inner, columns], &inputs, &sizes, [across, down, 1]), method.axis())
        }
    };
    let launch = launch.operations(&axes).cut(axis, LinearSizes::FIRST_GROUP);
    Some(launch.run_over(results))
}

/// The product and what is added to it: a bias and a residual.
fn product<const D: usize>(
    kernel: &Kernel<ProductMethod, LinearSizes>,
    left: &Tensor<D>,
    right: &Weight<2>,
    [bias, residual]: [Option<&dyn Operand>; 2],
    sizes: &LinearSizes,
) -> Option<Tensor<2>> {
    let axes @ [rows, columns, inner] = sizes.axes();
    let method = method(left, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let inputs = [Some(left as _), Some(right as _), bias, residual];
    let launch = kernel.launch(method, &[inner, columns], &inputs, sizes, [across, down, 1]).operations(&axes);
    Some(launch.cut(method.axis(), LinearSizes::FIRST_GROUP).run([rows, columns]))
}

/// The same in f16; none where it is made in f32.
fn half_product<const D: usize>(
    kernel: &Kernel<HalfTile, LinearSizes>,
    left: &Tensor<D>,
    right: &Weight<2>,
    [bias, residual]: [Option<&dyn Operand>; 2],
    sizes: &LinearSizes,
) -> Option<Tensor<2>> {
    let axes @ [rows, columns, _] = sizes.axes();
    let (tile, [across, down]) = half_tile(left, right, axes)?;
    let inputs = [Some(left as _), Some(right as _), bias, residual];
    let launch = kernel.launch(tile, &[], &inputs, sizes, [across, down, 1]).operations(&axes);
    Some(launch.cut(1, LinearSizes::FIRST_GROUP).run([rows, columns]))
}
