//! Halves, and values in eight bits, in f32.

use std::ops::Range;

use burn::tensor::{DType, Shape, Tensor};
use burn_wgpu::CubeTensor;
use half::f16;

use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::{Operand, frozen};
use super::uniform::uniform_sizes;
use super::{BINDING_ALIGNMENT, MOST_GROUPS};
use crate::base::eight_bits::BLOCK;
use crate::ops::Weight;

uniform_sizes! {
    /// How many values there are, and how the workgroups lie.
    struct WidenSizes {
        count: u32,
        across: u32,
    }
}

/// Invocations of a workgroup.
const LANES: usize = 256;

pub(super) static WIDEN: Kernel<(), WidenSizes> = Kernel::new(
    |()| "widen",
    |()| LANES as u32,
    &[],
    &[
        Buffer { name: "stored", role: Role::Narrow, row: Row::Axis(0) },
        Buffer { name: "result", role: Role::Result, row: Row::Axis(0) },
    ],
);

/// A weight that is stored in f16 or in eight bits, in f32; none if it lives on a device that does not run our kernels.
///
/// Burn's own cast needs the device's f16 type, which is an optional feature of WebGPU: browsers refuse the kernel.
pub(in crate::ops) fn widen<const D: usize>(weight: &Weight<D>) -> Option<Tensor<D>> {
    frozen(weight)?;
    widened(weight, weight.dims())
}

fn widened<const D: usize>(stored: &dyn Operand, shape: [usize; D]) -> Option<Tensor<D>> {
    let count = shape.iter().product::<usize>();
    if stored.dtype() == DType::F32 || count == 0 {
        return None;
    }
    let groups = count.div_ceil(4 * LANES);
    let down = groups.div_ceil(MOST_GROUPS as usize);
    let across = groups.div_ceil(down);
    let sizes = WidenSizes { count: count as u32, across: across as u32 };
    Some(WIDEN.launch((), &[count], &[Some(stored)], &sizes, [across, down, 1]).run(shape))
}

/// [`widen`] for some of the values, counted row after row.
pub(in crate::ops) fn widen_some<const D: usize>(weight: &Weight<D>, range: Range<usize>) -> Option<Tensor<1>> {
    /// Halves between two places at which a buffer may be bound on every WebGPU device.
    const ALIGNED: usize = BINDING_ALIGNMENT / size_of::<f16>();
    let count = weight.dims().iter().product::<usize>();
    if weight.dtype() == DType::F32 || !(range.start < range.end && range.end <= count) {
        return None;
    }
    let [values, scales] = frozen(weight)?;
    // Of values in eight bits, the scales are halves.
    let aligned = if scales.is_some() { ALIGNED * BLOCK } else { ALIGNED };
    let (first, end) = (range.start / aligned * aligned, range.end.next_multiple_of(aligned).min(count));
    let values = values.map(|all| some(&all, first..end));
    let scales = scales.map(|all| some(&all, first / BLOCK..end / BLOCK));
    let part = widened(&Part([values, scales]), [end - first])?;
    Some(part.narrow(0, range.start - first, range.len()))
}

/// Some of the values of a tensor, where they are.
fn some(all: &CubeTensor, range: Range<usize>) -> CubeTensor {
    let (size, count) = (all.dtype.size(), all.meta.shape().iter().product::<usize>());
    let bytes = |values: usize| (values * size) as u64;
    let handle = all.handle.clone().offset_start(bytes(range.start)).offset_end(bytes(count - range.end));
    CubeTensor::new_contiguous(all.client.clone(), all.device.clone(), Shape::from([range.len()]), handle, all.dtype)
}

/// A part of a weight: values and, in eight bits, their scales.
struct Part([Option<CubeTensor>; 2]);

impl Operand for Part {
    fn tensors(&self) -> [Option<CubeTensor>; 2] {
        self.0.clone()
    }

    fn dtype(&self) -> DType {
        self.0[0].as_ref().map_or(DType::F32, |values| values.dtype)
    }
}
