//! Activations.

use burn::tensor::Tensor;

use super::MOST_GROUPS;
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::Operand;
use super::uniform::uniform_sizes;

uniform_sizes! {
    /// The sizes of the smaller of what is read and what is written, and how the workgroups lie.
    struct GegluSizes {
        width: u32,
        count: u32,
        across: u32,
    }
}

/// Invocations of a workgroup.
const LANES: usize = 256;

const X: Buffer = Buffer { name: "x", role: Role::Activation, row: Row::Fours };
const DY: Buffer = Buffer { name: "dy", role: Role::Activation, row: Row::Fours };
const RESULT: Buffer = Buffer { name: "result", role: Role::Result, row: Row::Fours };

pub(super) static GEGLU: Kernel<(), GegluSizes> = Kernel::new(|()| "geglu", |()| LANES as u32, &[], &[X, RESULT]);
pub(super) static GEGLU_BACKWARD: Kernel<(), GegluSizes> =
    Kernel::new(|()| "geglu_backward", |()| LANES as u32, &[], &[X, DY, RESULT]);

/// `value * gelu(gate)` for rows `[value, gate]`; none if a half is not a multiple of four wide.
pub(in crate::ops) fn geglu(x: &Tensor<2>) -> Option<Tensor<2>> {
    let [rows, double] = x.dims();
    by_quads(&GEGLU, &[Some(x as _)], [rows, double / 2], [rows, double / 2])
}

/// The gradient to the input of [`geglu`].
pub(in crate::ops) fn geglu_backward(x: &Tensor<2>, dy: &Tensor<2>) -> Option<Tensor<2>> {
    let [rows, width] = dy.dims();
    by_quads(&GEGLU_BACKWARD, &[Some(x as _), Some(dy as _)], [rows, width], [rows, 2 * width])
}

/// One invocation for each four of `rows` x `width` values.
fn by_quads(
    kernel: &Kernel<(), GegluSizes>,
    inputs: &[Option<&dyn Operand>],
    [rows, width]: [usize; 2],
    result: [usize; 2],
) -> Option<Tensor<2>> {
    let groups = (rows * width).div_ceil(4 * LANES);
    let down = groups.div_ceil(MOST_GROUPS as usize);
    if !width.is_multiple_of(4) || down > MOST_GROUPS as usize {
        return None;
    }
    let across = groups.div_ceil(down);
    let sizes = GegluSizes { width: width as u32, count: (rows * width) as u32, across: across as u32 };
    Some(kernel.launch((), &[], inputs, &sizes, [across, down, 1]).run(result))
}
