//! Attention that never writes its scores. Its products are made in f16 where those of layers are made with cooperative matrices.

use std::mem::offset_of;

use burn::tensor::Tensor;
use burn_wgpu::{CubeBackend, CubeTensor};

use super::device::{half_products, insists_on_blocks, makes_blocks};
use super::halves::HalfProducts;
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant};
use super::launch::{Launch, Operand, empty, side_by_side};
use super::shares;
use super::uniform::uniform_sizes;
use super::{MOST_GROUPS, WANTED_GROUPS, primitive};

uniform_sizes! {
    /// The sizes of an attention.
    struct AttentionSizes {
        queries: u32,
        keys: u32,
        heads: u32,
        width: u32,
        causal: u32,
        scale: f32,
        span: u32,
        batch: u32,
        first_group: u32,
    }
}

/// Queries or keys of a workgroup, in either form.
const ROWS: usize = 64;
/// The widest head that has kernels.
const WIDEST: usize = 160;

/// Whether there are kernels for heads of this width.
fn is_served(width: usize) -> bool {
    width.is_multiple_of(4) && (4..=WIDEST).contains(&width)
}

/// How an attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttentionMethod {
    /// For GPUs: a workgroup shares its rows.
    Tile(HeadTile),
    /// The same in f16, with cooperative matrices.
    Matrices(HeadMatrices),
    /// For software GPUs: each invocation has a row to itself.
    Blocks(HeadBlock),
}

impl AttentionMethod {
    fn lanes(self) -> u32 {
        match self {
            AttentionMethod::Tile(tile) => tile.lanes(),
            AttentionMethod::Matrices(_) => HeadMatrices::LANES,
            AttentionMethod::Blocks(_) => ROWS as u32,
        }
    }

    /// The file of a kernel: for workgroups that share rows, or for blocks.
    fn file(self, shared: &'static str, blocks: &'static str) -> &'static str {
        match self {
            AttentionMethod::Tile(_) | AttentionMethod::Matrices(_) => shared,
            AttentionMethod::Blocks(_) => blocks,
        }
    }
}

impl Variant for AttentionMethod {
    fn all() -> Vec<Self> {
        let tiles = HeadTile::ALL.into_iter().map(AttentionMethod::Tile);
        let matrices = HeadMatrices::all().map(AttentionMethod::Matrices);
        tiles.chain(matrices).chain(HeadBlock::all().map(AttentionMethod::Blocks)).collect()
    }

    fn constants(self) -> Vec<Constant> {
        match self {
            AttentionMethod::Tile(tile) => tile.constants(),
            AttentionMethod::Matrices(matrices) => matrices.constants(),
            AttentionMethod::Blocks(block) => block.constants(),
        }
    }

    fn part(self) -> Option<&'static str> {
        match self {
            AttentionMethod::Tile(_) => Some("shared/attention_tile"),
            AttentionMethod::Matrices(_) => Some("shared/attention_matrices"),
            AttentionMethod::Blocks(_) => None,
        }
    }

    fn label(self) -> String {
        match self {
            AttentionMethod::Tile(HeadTile(width)) => format!("head {width}"),
            AttentionMethod::Matrices(HeadMatrices { width, shape, subgroup }) => {
                format!("head {width}, matrices of {shape}x{shape}, subgroups of {subgroup}")
            }
            AttentionMethod::Blocks(HeadBlock { quads, causal }) => {
                format!("head {}{}", 4 * quads, if causal { ", causal" } else { "" })
            }
        }
    }

    fn computes_in_f16(self) -> bool {
        matches!(self, AttentionMethod::Matrices(_))
    }

    fn for_hardware(self) -> bool {
        match self {
            AttentionMethod::Tile(_) => true,
            // Subgroups of eight are lavapipe's.
            AttentionMethod::Matrices(matrices) => matrices.subgroup > 8,
            AttentionMethod::Blocks(_) => false,
        }
    }
}

/// Heads of up to this width, whose rows are shared among the invocations of a workgroup;
/// `shaders/shared/attention_tile.wgsl` explains how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadTile(usize);

impl HeadTile {
    /// A few serve all: a head costs what the next wider one costs, in the second product only.
    pub const ALL: [HeadTile; 11] = [
        HeadTile(8),
        HeadTile(16),
        HeadTile(24),
        HeadTile(32),
        HeadTile(40),
        HeadTile(48),
        HeadTile(64),
        HeadTile(80),
        HeadTile(96),
        HeadTile(128),
        HeadTile(WIDEST),
    ];

    /// None if there are no kernels for heads of this width.
    fn of(width: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|tile| is_served(width) && tile.0 >= width)
    }

    /// Twice as many for wide heads, each with half as many scores: 256 registers must do for an invocation, and half of
    /// them is better.
    fn lanes(self) -> u32 {
        if self.0 > 80 { 256 } else { 128 }
    }

    fn constants(self) -> Vec<Constant> {
        let (width, across) = (self.0 as u32, self.lanes() / 16);
        let quads = width / (4 * across);
        let rests = (width - quads * 4 * across).div_ceil(across);
        vec![("quads", quads), ("rests", rests), ("depth", 16), ("chunk", 16)]
    }
}

/// Heads of up to this width, whose products are made in f16 with cooperative matrices;
/// `shaders/shared/attention_matrices.wgsl` explains how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadMatrices {
    width: usize,
    /// Rows and columns of each matrix.
    shape: u32,
    /// Invocations of a subgroup, for which the shares are made.
    subgroup: u32,
}

impl HeadMatrices {
    /// With more of them each has fewer sums in its registers.
    const LANES: u32 = 256;

    /// Multiples of every shape.
    const WIDTHS: [usize; 8] = [16, 32, 48, 64, 80, 96, 128, WIDEST];

    /// None if products are not made so, or if there are no kernels for heads of this width.
    fn of(width: usize, products: HalfProducts) -> Option<Self> {
        let HalfProducts::Matrices { shape, subgroup } = products else { return None };
        let width = Self::WIDTHS.into_iter().find(|widest| is_served(width) && *widest >= width)?;
        Some(Self { width, shape, subgroup })
    }

    /// How many shares there are along the rows, and along the columns: four along the rows, or more where there are more
    /// than the columns' matrices.
    fn shares(shape: u32, subgroup: u32) -> [u32; 2] {
        let shares = Self::LANES / subgroup;
        let down = shares.min(4).max(shares * shape / ROWS as u32);
        [down, shares / down]
    }

    /// The widest subgroups with which the kernels are right: a softmax needs all shares of its rows at once.
    pub fn widest_subgroup(shape: u32, subgroup: u32) -> u32 {
        let [_, across] = Self::shares(shape, subgroup);
        Self::LANES / across
    }

    fn all() -> impl Iterator<Item = Self> {
        HalfProducts::ALL
            .into_iter()
            .flat_map(|way| Self::WIDTHS.into_iter().filter_map(move |width| Self::of(width, way)))
    }

    fn constants(self) -> Vec<Constant> {
        let Self { width, shape, subgroup } = self;
        let (rows, width) = (ROWS as u32, width as u32);
        let [down, across] = Self::shares(shape, subgroup);
        // What fits into 16 KiB, beside all of the head's columns for a chunk.
        let depth = if width > 128 { 16 } else { 32 };
        let chunk = if width > 80 { 16 } else { 32 };
        vec![
            ("shape", shape),
            ("shares_down", down),
            ("shares_across", across),
            ("rows", rows / (shape * down)),
            // As many columns of scores as there are rows.
            ("columns", rows / (shape * across)),
            ("quads", (width / shape).div_ceil(across)),
            ("head", width),
            ("depth", depth),
            ("chunk", chunk),
        ]
    }
}

/// Heads of one width, each invocation with a row of them in its registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadBlock {
    /// The width of a head, in fours.
    quads: usize,
    causal: bool,
}

impl HeadBlock {
    /// None if there are no kernels for heads of this width.
    fn of(width: usize, causal: bool) -> Option<Self> {
        is_served(width).then_some(Self { quads: width / 4, causal })
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..=WIDEST).flat_map(|width| [false, true].into_iter().filter_map(move |causal| Self::of(width, causal)))
    }

    fn constants(self) -> Vec<Constant> {
        vec![("quads", self.quads as u32), ("causal", u32::from(self.causal))]
    }
}

const fn buffer(name: &'static str, role: Role) -> Buffer {
    Buffer { name, role, row: Row::Fours }
}

/// The logarithm of each query's sum of exponentials, `[B, queries, heads]`.
const fn logsumexp(role: Role) -> Buffer {
    Buffer { name: "logsumexp", role, row: Row::Ones }
}

/// The product of each query's result and its gradient, `[B, queries, heads]`.
const fn delta(role: Role) -> Buffer {
    Buffer { name: "delta", role, row: Row::Ones }
}

const Q: Buffer = buffer("q", Role::Activation);
const K: Buffer = buffer("k", Role::Activation);
const V: Buffer = buffer("v", Role::Activation);
const DY: Buffer = buffer("dy", Role::Activation);
/// Where there is none: what reads the operands is the same for all kernels.
const NO_DY: Buffer = buffer("dy", Role::Absent);
const Y: Buffer = buffer("y", Role::Activation);
const RESULT: Buffer = buffer("result", Role::Result);
const DK: Buffer = buffer("dk", Role::Result);
const DV: Buffer = buffer("dv", Role::Result);

pub(super) static FORWARD: Kernel<AttentionMethod, AttentionSizes> = Kernel::new(
    |method| method.file("attention", "attention_blocks"),
    AttentionMethod::lanes,
    &[],
    &[Q, K, V, NO_DY, RESULT, logsumexp(Role::Result)],
);
pub(super) static BACKWARD_QUERIES: Kernel<AttentionMethod, AttentionSizes> = Kernel::new(
    |method| method.file("attention_backward_queries", "attention_backward_queries_blocks"),
    AttentionMethod::lanes,
    &[],
    &[Q, K, V, DY, Y, logsumexp(Role::Activation), RESULT, delta(Role::Result)],
);
pub(super) static BACKWARD_KEYS: Kernel<AttentionMethod, AttentionSizes> = Kernel::new(
    |method| method.file("attention_backward_keys", "attention_backward_keys_blocks"),
    AttentionMethod::lanes,
    &[],
    &[Q, K, V, DY, logsumexp(Role::Activation), delta(Role::Activation), DK, DV],
);

/// Heads wider than this are left to the composition by software GPUs, which have a row of such a head in memory where it
/// should be in registers, unless there are many scores.
const WIDE: usize = 80;
/// Bytes of scores that are many: the composition writes them all.
const MANY_SCORES: u64 = 64 << 20;

/// An attention of some sizes.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Attention {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    /// Of a head.
    width: usize,
    causal: bool,
    method: AttentionMethod,
    /// Workgroups that fill the device.
    wanted: usize,
}

impl Attention {
    /// Whether every GPU has kernels for heads of this width.
    pub fn takes(head_width: usize) -> bool {
        is_served(head_width) && head_width <= WIDE
    }

    /// The kernels for these tensors, where there are any that are faster than the composition: in f32 alone where it is to
    /// be `exact`.
    pub fn of(q: &Tensor<3>, k: &Tensor<3>, heads: usize, causal: bool, exact: bool) -> Option<Self> {
        let ([batch, queries, inner], [_, keys, _]) = (q.dims(), k.dims());
        let width = inner / heads;
        let half = half_products(q).filter(|_| !exact);
        let half = half.map(|(method, _)| method).filter(|method| method.attends);
        let matrices = half.and_then(|method| HeadMatrices::of(width, method.way));
        let (method, wanted) = if let Some(matrices) = matrices {
            (AttentionMethod::Matrices(matrices), 4 * WANTED_GROUPS)
        } else if makes_blocks(q).is_some() {
            let scores =
                [batch, heads, queries, keys, size_of::<f32>()].map(|count| count as u64).iter().product::<u64>();
            let is_faster = width <= WIDE || scores > MANY_SCORES || insists_on_blocks();
            let block = HeadBlock::of(width, causal).filter(|_| is_faster)?;
            // A core or a few are to be filled.
            (AttentionMethod::Blocks(block), 2)
        } else {
            // Several workgroups are computed side by side.
            (AttentionMethod::Tile(HeadTile::of(width)?), 4 * WANTED_GROUPS)
        };
        (batch * heads <= MOST_GROUPS as usize).then_some(Self {
            batch,
            queries,
            keys,
            heads,
            width,
            causal,
            method,
            wanted,
        })
    }

    /// The result, and the logarithm of each query's sum of exponentials, `[B, queries, heads]`.
    pub fn forward(&self, q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let groups = [self.queries.div_ceil(ROWS), self.batch * self.heads, 1];
        let (shape, sums) = (q.dims(), [self.batch, self.queries, self.heads]);
        let launch = self.launch(&FORWARD, &[Some(q as _), Some(k as _), Some(v as _), None], 0, groups, 2);
        let [y, logsumexp] = launch.run_for([&shape, &sums]);
        (Tensor::from_primitive::<CubeBackend>(y), Tensor::from_primitive::<CubeBackend>(logsumexp))
    }

    /// The gradients to `q`, `k` and `v`, from what [`Self::forward`] gave.
    pub fn backward(
        &self,
        [q, k, v]: [&Tensor<3>; 3],
        (y, logsumexp): (&Tensor<3>, &Tensor<3>),
        dy: &Tensor<3>,
    ) -> [Tensor<3>; 3] {
        let Self { batch, queries, keys, heads, width, .. } = *self;
        let inputs = [q, k, v, dy, y, logsumexp].map(|tensor| Some(tensor as &dyn Operand));
        let groups = [queries.div_ceil(ROWS), batch * heads, 1];
        let [splits, span] = self.splits();
        let near = &primitive(q).expect("the device runs our kernels");
        // Where keys are as many as queries, all three gradients lie one behind another: one product leads them back.
        let count = if keys == queries { 3 } else { 2 };
        let mut places = side_by_side(near, count, &[batch, keys, heads * width]);
        let to_q = places.as_mut().filter(|places| places.len() == 3).map(|places| places.remove(0));
        let to_q = to_q.unwrap_or_else(|| empty(near, &q.dims()));
        let launch = self.launch(&BACKWARD_QUERIES, &inputs, 0, groups, 3);
        let [dq, delta] = launch.run_in([to_q, empty(near, &[batch, queries, heads])]);

        let groups = [keys.div_ceil(ROWS), batch * heads, splits];
        let inputs = [q, k, v, dy, logsumexp, &delta].map(|tensor| Some(tensor as &dyn Operand));
        let launch = self.launch(&BACKWARD_KEYS, &inputs, span, groups, 4);
        let shape = [splits, batch, keys, heads * width];
        let [dk, dv] = match (places.map(<[CubeTensor; 2]>::try_from), splits) {
            (Some(Ok(places)), 1) => launch.run_in(places),
            (places, _) => {
                let shares: [Tensor<4>; 2] = launch.run_side_by_side(shape);
                let places = places.and_then(Result::ok).map(|places| places.to_vec());
                summed(shares, places)
            }
        };
        [dq, dk, dv]
    }

    /// Into how many parts the queries are split for the gradients to keys and values, and how many each has: as many
    /// as fill the device, of at least a workgroup's rows. Twice as many rows, such as those of a prompt, take no longer than the
    /// launch that would add up the shares.
    fn splits(&self) -> [usize; 2] {
        if self.queries <= 2 * ROWS {
            return [1, 2 * ROWS];
        }
        let groups = self.keys.div_ceil(ROWS) * self.batch * self.heads;
        let splits = self.wanted.div_ceil(groups).min(self.queries.div_ceil(ROWS));
        let span = self.queries.div_ceil(splits).next_multiple_of(ROWS);
        [self.queries.div_ceil(span), span]
    }

    /// A launch that makes this many products of all queries and all keys.
    fn launch(
        &self,
        kernel: &Kernel<AttentionMethod, AttentionSizes>,
        inputs: &[Option<&dyn Operand>],
        span: usize,
        groups: [usize; 3],
        products: usize,
    ) -> Launch {
        let Self { batch, queries, keys, heads, width, .. } = *self;
        let sizes = AttentionSizes {
            queries: queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            width: width as u32,
            causal: u32::from(self.causal),
            scale: 1.0 / (width as f32).sqrt(),
            span: span as u32,
            batch: batch as u32,
            first_group: 0,
        };
        kernel
            .launch(self.method, &[], inputs, &sizes, groups)
            .operations(&[products, batch, heads, queries, keys, width])
            .cut(0, offset_of!(AttentionSizes, first_group))
    }
}

/// The sums over the first axis of two tensors that were made side by side, in these places.
fn summed(shares: [Tensor<4>; 2], places: Option<Vec<CubeTensor>>) -> [Tensor<3>; 2] {
    let [count, batch, keys, width] = shares[0].dims();
    if count == 1 {
        return shares.map(|share| share.reshape([batch, keys, width]));
    }
    let at_once = places.and_then(|places| shares::sums(&shares.each_ref(), places));
    match at_once.map(<[Tensor<3>; 2]>::try_from) {
        Some(Ok(sums)) => sums,
        _ => shares.map(|shares| shares.sum_dim(0).reshape([batch, keys, width])),
    }
}

#[cfg(test)]
mod tests;
