//! Sums of shares, in which a gradient comes that several workgroups make.

use burn::tensor::Tensor;
use burn_wgpu::CubeTensor;

use super::activation::{LANES, groups_of};
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::{pitch_of, planes_of};
use super::uniform::uniform_sizes;

uniform_sizes! {
    /// How much there is to add up, and how the workgroups lie.
    struct SharesSizes {
        count: u32,
        shares: u32,
        pitch: u32,
        result_pitch: u32,
        across: u32,
    }
}

pub(super) static SHARES: Kernel<(), SharesSizes> = Kernel::new(
    |()| "shares",
    |()| LANES as u32,
    &[],
    &[
        Buffer { name: "x", role: Role::Activation, row: Row::Axis(0) },
        Buffer { name: "result", role: Role::Result, row: Row::Axis(0) },
    ],
);

/// The sums over the first axis of tensors that lie [side by side](super::launch::side_by_side), in places that do, too; none
/// if the tensors lie otherwise.
pub(super) fn sums<const D: usize>(tensors: &[&Tensor<4>], places: Vec<CubeTensor>) -> Option<Vec<Tensor<D>>> {
    let [shares, axes @ ..] = tensors.first()?.dims();
    let count = axes.iter().product::<usize>();
    let (x, pitch) = planes_of(tensors)?;
    let [across, down] = groups_of(count)?;
    let sizes = SharesSizes {
        count: count as u32,
        shares: shares as u32,
        pitch: pitch as u32,
        result_pitch: pitch_of(&axes) as u32,
        across: across as u32,
    };
    // Four neighbours are read at once where every share begins with a multiple of four.
    let row = if pitch.is_multiple_of(4) { count } else { 1 };
    Some(SHARES.launch((), &[row], &[Some(&x as _)], &sizes, [across, down, tensors.len()]).run_over(places))
}
