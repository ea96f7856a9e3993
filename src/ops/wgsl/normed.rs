//! Linear layers behind a layer normalisation, which the product does itself. Not in blocks: on a software GPU the normalisation has
//! a launch of its own.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::device::makes_blocks;
use super::fused::FusedMethod;
use super::kernel::{Buffer, Kernel, Role, Row, some_variants};
use super::launch::{Launch, Operand, pitch_of, side_by_side};
use super::linear::LinearSizes;
use super::mlp::{Activated, BEFORE, Between, Gated, LEFT, RESULT, RIGHT};
use super::{MOST_GROUPS, is_wgpu, primitive};
use crate::ops::Weight;

/// A layer normalisation, folded into the weights behind it.
#[derive(Debug, Clone)]
pub(in crate::ops) struct FoldedNorm {
    /// The normalisation's scale, `[inner]`.
    pub gamma: Tensor<1>,
    /// What the scale comes to in each column, `[columns]`.
    pub sums: Tensor<1>,
    /// What the shift comes to, with the layer's own bias, `[columns]`.
    pub bias: Tensor<1>,
    /// Added to the variance.
    pub eps: f32,
}

/// Whether products of these columns and inner sizes can normalise their rows on this tensor's device.
pub(in crate::ops) fn folds_norms<const D: usize>(near: &Tensor<D>, [columns, inner]: [usize; 2]) -> bool {
    let fits = inner.is_multiple_of(4) && columns.is_multiple_of(4);
    fits && is_wgpu(near) && makes_blocks(near).is_none()
}

/// A tile, for hardware GPUs alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NormedTile(FusedMethod);

some_variants!(NormedTile, FusedMethod::all().into_iter().filter(|method| !method.is_blocks()));

/// The same with an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NormedActivated(Activated);

some_variants!(
    NormedActivated,
    Activated::with(|between| between.is_of_mlps() && between.is_of_each_value()).filter(|made| !made.is_blocks())
);

const GAMMA: Buffer = Buffer { name: "gamma", role: Role::Activation, row: Row::Fours };
const SUMS: Buffer = Buffer { name: "sums", role: Role::Activation, row: Row::Fours };
const BIAS: Buffer = Buffer { name: "bias", role: Role::Activation, row: Row::Fours };
const RESIDUAL: Buffer = Buffer { name: "residual", role: Role::Absent, row: Row::Fours };

pub(super) static NORMED: Kernel<NormedTile, LinearSizes> = Kernel::new(
    |tile| tile.0.file(["linear_normed", "linear_normed", "linear_normed_matrices"]),
    |tile| tile.0.lanes(),
    &[("by_columns", 1)],
    &[LEFT, GAMMA, RIGHT, SUMS, BIAS, RESIDUAL, RESULT],
);
pub(super) static NORMED_ACTIVATED: Kernel<NormedActivated, LinearSizes> = Kernel::new(
    |made| made.0.file(["linear_normed_activated", "linear_normed_activated", "linear_normed_activated_matrices"]),
    |activated| activated.0.lanes(),
    &[("by_columns", 1)],
    &[LEFT, GAMMA, RIGHT, SUMS, BIAS, BEFORE, RESULT],
);
pub(super) static NORMED_GATED: Kernel<Gated, LinearSizes> = Kernel::new(
    |gated| gated.file(["linear_normed_geglu", "linear_normed_geglu_matrices"]),
    |gated| gated.lanes(),
    &[("by_columns", 1)],
    &[LEFT, GAMMA, RIGHT, SUMS, BIAS, BEFORE, RESULT],
);

/// How the product is made that normalises its rows; none where that has a launch of its own.
fn method(x: &Tensor<2>, weight: &Weight<2>, axes @ [rows, ..]: [usize; 3]) -> Option<FusedMethod> {
    // The gradient has a workgroup for each row.
    Some(FusedMethod::of(x, weight, axes)).filter(|method| !method.is_blocks() && rows <= MOST_GROUPS as usize)
}

/// The sizes of a product of normalised rows.
fn sizes_of(axes: [usize; 3], norm: &FoldedNorm) -> LinearSizes {
    LinearSizes::whole(axes).normed(norm.eps)
}

/// [`linear_planes`](super::linear_planes) of normalised rows.
pub(in crate::ops) fn normed_planes(
    x: &Tensor<2>,
    norm: &FoldedNorm,
    weight: &Weight<2>,
    planes: usize,
) -> Option<Vec<Tensor<2>>> {
    let ([columns, inner], [rows, _]) = (weight.dims(), x.dims());
    let (plane, axes) = (columns / planes, [rows, columns, inner]);
    let method = method(x, weight, axes).filter(|_| plane.is_multiple_of(4))?;
    let [across, down] = method.groups(rows, columns)?;
    let results = side_by_side(&primitive(x)?, planes, &[rows, plane])?;
    let sizes = sizes_of(axes, norm).in_planes(plane, pitch_of(&[rows, plane]));
    let FoldedNorm { gamma, sums, bias, .. } = norm;
    let inputs: [Option<&dyn Operand>; 6] = [Some(x), Some(gamma), Some(weight), Some(sums), Some(bias), None];
    let launch = NORMED.launch(NormedTile(method), &[], &inputs, &sizes, [across, down, 1]);
    Some(cut(launch, axes).run_over(results))
}

/// [`activated`](super::activated) of normalised rows.
pub(in crate::ops) fn normed_activated(
    x: &Tensor<2>,
    norm: &FoldedNorm,
    weight: &Weight<2>,
    between: Between,
) -> Option<[Tensor<2>; 2]> {
    let ([columns, inner], [rows, _]) = (weight.dims(), x.dims());
    let axes = [rows, columns, inner];
    let width = between.width(columns);
    let method = method(x, weight, axes).filter(|_| width.is_multiple_of(4))?;
    let method = if between == Between::Geglu { method.with_pairs()? } else { method };
    let [across, down] = method.groups(rows, columns)?;
    let FoldedNorm { gamma, sums, bias, .. } = norm;
    let inputs: [Option<&dyn Operand>; 5] = [Some(x), Some(gamma), Some(weight), Some(sums), Some(bias)];
    let (sizes, groups) = (sizes_of(axes, norm), [across, down, 1]);
    let launch = match between {
        Between::Activation(_) => {
            let variant = NormedActivated(Activated::new(method, between));
            NORMED_ACTIVATED.launch(variant, &[], &inputs, &sizes, groups)
        }
        Between::Geglu => NORMED_GATED.launch(Gated::new(method), &[], &inputs, &sizes, groups),
    };
    let results = cut(launch, axes).run_for([&[rows, columns], &[rows, width]]);
    Some(results.map(Tensor::from_primitive::<CubeBackend>))
}

/// A launch in tiles with its work, which may be cut along its rows.
fn cut(launch: Launch, axes: [usize; 3]) -> Launch {
    launch.operations(&axes).cut(1, LinearSizes::FIRST_GROUP)
}
