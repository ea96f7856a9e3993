//! Normalisations.

use burn::tensor::Tensor;

use super::MOST_GROUPS;
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant};
use super::launch::Operand;
use super::uniform::uniform_sizes;
use crate::ops::Norm;

uniform_sizes! {
    /// The sizes of a group normalisation.
    struct GroupSizes {
        positions: u32,
        channels: u32,
        groups: u32,
        eps: f32,
    }
}

uniform_sizes! {
    /// The sizes of a layer normalisation.
    struct RowSizes {
        rows: u32,
        width: u32,
        eps: f32,
    }
}

/// Invocations of a workgroup that normalises a group.
const GROUP_LANES: u32 = 256;
/// Invocations of a workgroup that normalises a row.
const ROW_LANES: u32 = 64;

/// A group's channels, or a row's values: everything lies in rows of these.
const ROW: Row = Row::Axis(0);
const X: Buffer = Buffer { name: "x", role: Role::Activation, row: ROW };
const DY: Buffer = Buffer { name: "dy", role: Role::Activation, row: ROW };
const GAMMA: Buffer = Buffer { name: "gamma", role: Role::Factor, row: ROW };
const BETA: Buffer = Buffer { name: "beta", role: Role::Factor, row: ROW };
const COLLECTED: Buffer = Buffer { name: "collected", role: Role::OptionalActivation, row: ROW };
const RESULT: Buffer = Buffer { name: "result", role: Role::Result, row: ROW };

/// What comes after a group normalisation.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Then {
    silu: bool,
}

impl Variant for Then {
    fn all() -> Vec<Self> {
        [false, true].map(|silu| Self { silu }).to_vec()
    }

    fn constants(self) -> Vec<Constant> {
        vec![("silu", u32::from(self.silu))]
    }
}

pub(super) static GROUPS_FORWARD: Kernel<Then, GroupSizes> =
    Kernel::new(|_| "group_norm", |_| GROUP_LANES, &[], &[X, GAMMA, BETA, RESULT]);
pub(super) static GROUPS_BACKWARD: Kernel<Then, GroupSizes> =
    Kernel::new(|_| "group_norm_backward", |_| GROUP_LANES, &[], &[X, DY, GAMMA, BETA, COLLECTED, RESULT]);
pub(super) static ROWS_FORWARD: Kernel<(), RowSizes> =
    Kernel::new(|()| "layer_norm", |()| ROW_LANES, &[], &[X, GAMMA, BETA, RESULT]);
pub(super) static ROWS_BACKWARD: Kernel<(), RowSizes> =
    Kernel::new(|()| "layer_norm_backward", |()| ROW_LANES, &[], &[X, DY, GAMMA, COLLECTED, RESULT]);

/// Group normalisation of `[B, P, C]`, perhaps followed by `silu`.
#[derive(Clone)]
pub(in crate::ops) struct GroupNorm {
    pub norm: Norm,
    pub with_silu: bool,
}

impl GroupNorm {
    pub fn forward(&self, x: &Tensor<3>) -> Tensor<3> {
        let Norm { weight, bias, .. } = &self.norm;
        self.run(&GROUPS_FORWARD, x.dims(), &[Some(x as _), Some(weight as _), Some(bias as _)])
    }

    /// The gradient to `x`, on top of what was `collected`.
    pub fn backward(&self, x: &Tensor<3>, dy: &Tensor<3>, collected: Option<&Tensor<3>>) -> Tensor<3> {
        let Norm { weight, bias, .. } = &self.norm;
        let collected = collected.map(|collected| collected as _);
        let inputs = [Some(x as _), Some(dy as _), Some(weight as _), Some(bias as _), collected];
        self.run(&GROUPS_BACKWARD, x.dims(), &inputs)
    }

    fn run(
        &self,
        kernel: &Kernel<Then, GroupSizes>,
        dims @ [batch, positions, channels]: [usize; 3],
        inputs: &[Option<&dyn Operand>],
    ) -> Tensor<3> {
        let groups = self.norm.groups;
        let sizes = GroupSizes {
            positions: positions as u32,
            channels: channels as u32,
            groups: groups as u32,
            eps: self.norm.eps as f32,
        };
        let then = Then { silu: self.with_silu };
        kernel.launch(then, &[channels / groups], inputs, &sizes, [batch * groups, 1, 1]).run(dims)
    }
}

/// Layer normalisation of the rows of `x`; none if there are more than a launch can have.
pub(in crate::ops) fn layer_norm(x: &Tensor<2>, norm: &Norm) -> Option<Tensor<2>> {
    by_rows(&ROWS_FORWARD, &[Some(x as _), Some(&norm.weight as _), Some(&norm.bias as _)], x.dims(), norm.eps)
}

/// The gradient to the input of [`layer_norm`], on top of what was `collected`.
pub(in crate::ops) fn layer_norm_backward(
    x: &Tensor<2>,
    dy: &Tensor<2>,
    norm: &Norm,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let collected = collected.map(|collected| collected as _);
    by_rows(&ROWS_BACKWARD, &[Some(x as _), Some(dy as _), Some(&norm.weight as _), collected], x.dims(), norm.eps)
}

fn by_rows(
    kernel: &Kernel<(), RowSizes>,
    inputs: &[Option<&dyn Operand>],
    [rows, width]: [usize; 2],
    eps: f64,
) -> Option<Tensor<2>> {
    if rows > MOST_GROUPS as usize {
        return None;
    }
    let sizes = RowSizes { rows: rows as u32, width: width as u32, eps: eps as f32 };
    Some(kernel.launch((), &[width], inputs, &sizes, [rows, 1, 1]).run([rows, width]))
}
