//! Halves in f32.

use std::ops::Range;

use burn::tensor::{DType, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor};

use super::kernel::{Buffer, Kernel, Role, Row};
use super::uniform::uniform_sizes;
use super::{MOST_GROUPS, primitive};

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
        Buffer { name: "halves", role: Role::Halves, row: Row::Axis(0) },
        Buffer { name: "result", role: Role::Result, row: Row::Axis(0) },
    ],
);

/// Values stored as f16 in f32; none if they live on a device that does not run our kernels.
///
/// Burn's own cast needs the device's f16 type, which is an optional feature of WebGPU: browsers refuse the kernel.
pub(in crate::ops) fn widen<const D: usize>(stored: &Tensor<D>) -> Option<Tensor<D>> {
    primitive(stored)?;
    let shape = stored.dims();
    let count = shape.iter().product::<usize>();
    if stored.dtype() != DType::F16 || count == 0 {
        return None;
    }
    let groups = count.div_ceil(4 * LANES);
    let down = groups.div_ceil(MOST_GROUPS as usize);
    let across = groups.div_ceil(down);
    let sizes = WidenSizes { count: count as u32, across: across as u32 };
    Some(WIDEN.launch((), &[count], &[Some(stored as _)], &sizes, [across, down, 1]).run(shape))
}

/// [`widen`] for some of the values, counted row after row.
pub(in crate::ops) fn widen_some<const D: usize>(stored: &Tensor<D>, range: Range<usize>) -> Option<Tensor<1>> {
    /// Halves between two places at which a buffer may be bound on every WebGPU device.
    const ALIGNED: usize = 128;
    let count = stored.dims().iter().product::<usize>();
    if stored.dtype() != DType::F16 || !(range.start < range.end && range.end <= count) {
        return None;
    }
    let all = primitive(stored)?;
    let (first, end) = (range.start / ALIGNED * ALIGNED, range.end.next_multiple_of(ALIGNED).min(count));
    let handle = all.handle.clone().offset_start(2 * first as u64).offset_end(2 * (count - end) as u64);
    let (client, device) = (all.client.clone(), all.device.clone());
    let part = CubeTensor::new_contiguous(client, device, Shape::from([end - first]), handle, DType::F16);
    let part = widen(&Tensor::<1>::from_primitive::<CubeBackend>(part))?;
    Some(part.narrow(0, range.start - first, range.len()))
}
