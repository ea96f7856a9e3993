//! Weighted sums.

use burn::tensor::Tensor;

use super::activation::{LANES, groups_of};
use super::kernel::{Buffer, Kernel, Role, Row};
use super::launch::{Operand, is_same};
use super::primitive;
use super::uniform::uniform_sizes;

uniform_sizes! {
    /// How many values there are, how the workgroups lie, how often the sum is written, and the weights.
    struct BlendSizes {
        count: u32,
        across: u32,
        copies: u32,
        weight_a: f32,
        weight_b: f32,
        weight_c: f32,
        weight_d: f32,
        weight_e: f32,
    }
}

/// Most terms of a sum.
const MOST_TERMS: usize = 5;

/// All values as one row.
const ALL: Row = Row::Axis(0);

const fn term(name: &'static str) -> Buffer {
    Buffer { name, role: Role::OptionalActivation, row: ALL }
}

pub(super) static BLEND: Kernel<(), BlendSizes> = Kernel::new(
    |()| "blend",
    |()| LANES as u32,
    &[],
    &[
        Buffer { name: "a", role: Role::Activation, row: ALL },
        term("b"),
        term("c"),
        term("d"),
        term("e"),
        Buffer { name: "result", role: Role::Result, row: ALL },
    ],
);

/// Whether two tensors are the same values of the same memory.
pub(in crate::ops) fn is_same_tensor<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> bool {
    a.dims() == b.dims() && primitive(a).zip(primitive(b)).is_some_and(|(a, b)| is_same(&a, &b))
}

/// The weighted sum of tensors of this shape, as often as `copies` says, one after the other along the first axis; none if
/// there are too many terms or values for a launch.
pub(in crate::ops) fn blend<const D: usize>(terms: &[(Tensor<D>, f32)], copies: usize) -> Option<Tensor<D>> {
    let (first, _) = terms.first()?;
    let mut shape = first.dims();
    let count = shape.iter().product::<usize>();
    let [across, down] = groups_of(count).filter(|_| terms.len() <= MOST_TERMS)?;
    shape[0] *= copies;
    let weight = |i: usize| terms.get(i).map_or(0.0, |(_, weight)| *weight);
    let sizes = BlendSizes {
        count: count as u32,
        across: across as u32,
        copies: copies as u32,
        weight_a: weight(0),
        weight_b: weight(1),
        weight_c: weight(2),
        weight_d: weight(3),
        weight_e: weight(4),
    };
    let inputs: [Option<&dyn Operand>; MOST_TERMS] =
        std::array::from_fn(|i| terms.get(i).map(|(term, _)| term as &dyn Operand));
    Some(BLEND.launch((), &[count], &inputs, &sizes, [across, down, 1]).run(shape))
}
