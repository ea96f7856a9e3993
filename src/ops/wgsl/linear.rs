//! Linear layers.

use std::mem::offset_of;

use burn::tensor::Tensor;

use super::device::method;
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::{Operand, pitch_of, side_by_side};
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
        first_group: u32,
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

fn file(method: ProductMethod) -> &'static str {
    method.file("linear", "linear_blocks")
}

const fn buffers(right: Row, bias: Role) -> [Buffer; 5] {
    [
        Buffer { name: "left", role: Role::Activation, row: INNER },
        Buffer { name: "right", role: Role::Factor, row: right },
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
    product(&FORWARD, x, weight, added, [x.dims()[0], columns, inner])
}

/// `dy w`, plus what was collected before `[rows, columns]`; none if there are more rows than a launch can have.
pub(in crate::ops) fn linear_backward(
    dy: &Tensor<2>,
    weight: &Weight<2>,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [inner, columns] = weight.dims();
    product(&BACKWARD, dy, weight, [None, collected.map(|collected| collected as _)], [dy.dims()[0], columns, inner])
}

/// [`linear`] by several layers of the same shape whose weights are one, [`joined`](Weight::joined): the results of
/// each; none, too, if they cannot lie apart.
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
    let method = method(x, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let results = side_by_side(&primitive(x)?, planes, &[rows, plane]);
    let sizes = LinearSizes {
        rows: rows as u32,
        columns: columns as u32,
        inner: inner as u32,
        plane: plane as u32,
        plane_pitch: pitch_of(&[rows, plane]) as u32,
        first_group: 0,
    };
    let inputs = [Some(x as _), Some(weight as _), bias.map(|bias| bias as _), None];
    let launch = FORWARD.launch(method, &[inner, columns], &inputs, &sizes, [across, down, 1]);
    let launch = launch.operations(&[rows, columns, inner]).cut(method.axis(), offset_of!(LinearSizes, first_group));
    Some(launch.run_over(results))
}

/// The product and what is added to it: a bias and a residual.
fn product(
    kernel: &Kernel<ProductMethod, LinearSizes>,
    left: &Tensor<2>,
    right: &Weight<2>,
    [bias, residual]: [Option<&dyn Operand>; 2],
    axes @ [rows, columns, inner]: [usize; 3],
) -> Option<Tensor<2>> {
    let method = method(left, rows, columns);
    let [across, down] = method.groups(rows, columns)?;
    let sizes = LinearSizes {
        rows: rows as u32,
        columns: columns as u32,
        inner: inner as u32,
        plane: columns as u32,
        plane_pitch: 0,
        first_group: 0,
    };
    let inputs = [Some(left as _), Some(right as _), bias, residual];
    let launch = kernel.launch(method, &[inner, columns], &inputs, &sizes, [across, down, 1]).operations(&axes);
    Some(launch.cut(method.axis(), offset_of!(LinearSizes, first_group)).run([rows, columns]))
}
