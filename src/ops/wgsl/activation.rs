//! Activations.

use burn::tensor::Tensor;

use super::{Format, Input, Kernel, Launch, MOST_GROUPS};

const GELU: &str = include_str!("../../../shaders/shared/gelu.wgsl");
const COMMON: &str = include_str!("../../../shaders/shared/geglu.wgsl");
const GEGLU: &[&str] = &[GELU, COMMON, include_str!("../../../shaders/geglu.wgsl")];
const GEGLU_BACKWARD: &[&str] = &[GELU, COMMON, include_str!("../../../shaders/geglu_backward.wgsl")];

/// Invocations in a workgroup, as the kernels declare it.
const LANES: usize = 256;

/// `value * gelu(gate)` for rows `[value, gate]`; none if a half is not a multiple of four wide.
pub(in crate::ops) fn geglu(x: &Tensor<2>) -> Option<Tensor<2>> {
    let [rows, double] = x.dims();
    by_quads("geglu", GEGLU, &[("x", Some(x), double / 2)], [rows, double / 2], [rows, double / 2])
}

/// The gradient to the input of [`geglu`].
pub(in crate::ops) fn geglu_backward(x: &Tensor<2>, dy: &Tensor<2>) -> Option<Tensor<2>> {
    let [rows, width] = dy.dims();
    let inputs: [(_, Option<&dyn Input>, _); 2] = [("x", Some(x), width), ("dy", Some(dy), width)];
    by_quads("geglu_backward", GEGLU_BACKWARD, &inputs, [rows, width], [rows, 2 * width])
}

/// One invocation for each four of `rows` x `width` values.
fn by_quads(
    name: &'static str,
    pieces: &'static [&'static str],
    inputs: &[(&'static str, Option<&dyn Input>, usize)],
    [rows, width]: [usize; 2],
    result: [usize; 2],
) -> Option<Tensor<2>> {
    let groups = (rows * width).div_ceil(4 * LANES);
    let down = groups.div_ceil(MOST_GROUPS as usize);
    if !width.is_multiple_of(4) || down > MOST_GROUPS as usize {
        return None;
    }
    let across = groups.div_ceil(down);
    let sizes = [width, rows * width, across];
    let (numbers, sizes, groups) = (Vec::new(), &sizes, [across, down, 1]);
    let lanes = LANES as u32;
    let launch = Launch { name, pieces, numbers, inputs, sizes, operations: 0, cut: None, groups, lanes };
    Some(launch.run(result))
}

/// Every form of the kernels.
pub(super) fn forms() -> Vec<Kernel> {
    let (x, dy, result) = (("x", Format::F32x4), ("dy", Format::F32x4), [("result", Format::F32x4)]);
    vec![
        Kernel::new("geglu", GEGLU, Vec::new()).with_buffers(&[x], &result),
        Kernel::new("geglu_backward", GEGLU_BACKWARD, Vec::new()).with_buffers(&[x, dy], &result),
    ]
}
