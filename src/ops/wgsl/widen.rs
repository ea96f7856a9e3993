//! Halves in f32.

use burn::tensor::{DType, Tensor};

use super::{Format, Kernel, Launch, MOST_GROUPS, primitive};

const WIDEN: &[&str] = &[include_str!("../../../shaders/widen.wgsl")];

/// Invocations in a workgroup, as the kernel declares it.
const LANES: usize = 256;

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
    let launch = Launch {
        name: "widen",
        pieces: WIDEN,
        numbers: Vec::new(),
        inputs: &[("halves", Some(stored), count)],
        sizes: &[count, across],
        operations: 0,
        cut: None,
        groups: [across, down, 1],
        lanes: LANES as u32,
    };
    Some(launch.run_in_rows(shape, count))
}

/// Every form of the kernel.
pub(super) fn forms() -> Vec<Kernel> {
    let form = |from, to| Kernel::new("widen", WIDEN, Vec::new()).with_buffers(&[("halves", from)], &[("result", to)]);
    vec![form(Format::F16x4, Format::F32x4), form(Format::F16x1, Format::F32x1)]
}
