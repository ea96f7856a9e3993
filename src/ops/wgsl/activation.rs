//! Activations.

use burn::tensor::Tensor;

use super::MOST_GROUPS;
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant};
use super::launch::Operand;
use super::uniform::uniform_sizes;

uniform_sizes! {
    /// How many values there are, and how the workgroups lie.
    struct ActivationSizes {
        count: u32,
        across: u32,
    }
}

uniform_sizes! {
    /// The sizes of the smaller of what is read and what is written, and how the workgroups lie.
    struct GegluSizes {
        width: u32,
        count: u32,
        across: u32,
    }
}

/// Invocations of a workgroup.
pub(super) const LANES: usize = 256;

/// A function of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `x Phi(x)`.
    Gelu,
}

impl Variant for Activation {
    fn all() -> Vec<Self> {
        vec![Self::Silu, Self::QuickGelu, Self::Gelu]
    }

    fn constants(self) -> Vec<Constant> {
        vec![("kind", self as u32)]
    }
}

/// All values as one row.
const ALL: Row = Row::Axis(0);
const FLAT_X: Buffer = Buffer { name: "x", role: Role::Activation, row: ALL };
const FLAT_DY: Buffer = Buffer { name: "dy", role: Role::Activation, row: ALL };
const FLAT_RESULT: Buffer = Buffer { name: "result", role: Role::Result, row: ALL };

pub(super) static FORWARD: Kernel<Activation, ActivationSizes> =
    Kernel::new(|_| "activation", |_| LANES as u32, &[], &[FLAT_X, FLAT_RESULT]);
pub(super) static BACKWARD: Kernel<Activation, ActivationSizes> =
    Kernel::new(|_| "activation_backward", |_| LANES as u32, &[], &[FLAT_X, FLAT_DY, FLAT_RESULT]);

/// An activation of each value; none if there are more values than a launch can have.
pub(in crate::ops) fn activation<const D: usize>(x: &Tensor<D>, which: Activation) -> Option<Tensor<D>> {
    by_values(&FORWARD, which, &[Some(x as _)], x.dims())
}

/// The gradient to the input of [`activation`].
pub(in crate::ops) fn activation_backward<const D: usize>(
    x: &Tensor<D>,
    dy: &Tensor<D>,
    which: Activation,
) -> Option<Tensor<D>> {
    by_values(&BACKWARD, which, &[Some(x as _), Some(dy as _)], x.dims())
}

/// One invocation for each four values of a tensor.
fn by_values<const D: usize>(
    kernel: &Kernel<Activation, ActivationSizes>,
    which: Activation,
    inputs: &[Option<&dyn Operand>],
    shape: [usize; D],
) -> Option<Tensor<D>> {
    let count = shape.iter().product::<usize>();
    let [across, down] = groups_of(count)?;
    let sizes = ActivationSizes { count: count as u32, across: across as u32 };
    Some(kernel.launch(which, &[count], inputs, &sizes, [across, down, 1]).run(shape))
}

/// How the workgroups for so many values lie, four to an invocation; none if there are none, or too many for a launch.
pub(super) fn groups_of(values: usize) -> Option<[usize; 2]> {
    let groups = values.div_ceil(4 * LANES);
    let down = groups.div_ceil(MOST_GROUPS as usize);
    (1..=MOST_GROUPS as usize).contains(&down).then(|| [groups.div_ceil(down), down])
}

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
    if !width.is_multiple_of(4) {
        return None;
    }
    let [across, down] = groups_of(rows * width)?;
    let sizes = GegluSizes { width: width as u32, count: (rows * width) as u32, across: across as u32 };
    Some(kernel.launch((), &[], inputs, &sizes, [across, down, 1]).run(result))
}
