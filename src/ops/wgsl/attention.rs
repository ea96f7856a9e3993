//! Attention that never writes its scores.

use std::mem::offset_of;

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::device::software_gpu;
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant};
use super::launch::{Launch, Operand};
use super::uniform::uniform_sizes;
use super::{MOST_GROUPS, WANTED_GROUPS};

uniform_sizes! {
    /// The sizes of an attention.
    struct AttentionSizes {
        queries: u32,
        keys: u32,
        heads: u32,
        scale: f32,
        span: u32,
        batch: u32,
        first_group: u32,
    }
}

/// Queries or keys of a workgroup: its invocations.
const LANES: usize = 64;
/// The widest head whose values the kernels keep in registers.
const WIDEST: usize = 160;

/// What the text of the kernels depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The width of a head, in fours.
    quads: usize,
    causal: bool,
}

impl Head {
    /// None if the kernels have no form for heads of this width.
    fn new(width: usize, causal: bool) -> Option<Self> {
        (width.is_multiple_of(4) && (4..=WIDEST).contains(&width)).then_some(Self { quads: width / 4, causal })
    }
}

impl Variant for Head {
    fn all() -> Vec<Self> {
        let widths = (0..=WIDEST).flat_map(|width| [(width, false), (width, true)]);
        widths.filter_map(|(width, causal)| Self::new(width, causal)).collect()
    }

    fn constants(self) -> Vec<Constant> {
        // Two tiles of vectors of 16 bytes, and a little beside them, in 16 KiB; four neighbours are taken at a time.
        let tile = ((16384 - 256) / (2 * 16 * self.quads) / 4 * 4).min(32);
        vec![("quads", self.quads as u32), ("tile", tile as u32), ("causal", u32::from(self.causal))]
    }
}

const fn buffer(name: &'static str, role: Role) -> Buffer {
    Buffer { name, role, row: Row::Fours }
}

const Q: Buffer = buffer("q", Role::Activation);
const K: Buffer = buffer("k", Role::Activation);
const V: Buffer = buffer("v", Role::Activation);
const DY: Buffer = buffer("dy", Role::Activation);
const STATS: Buffer = Buffer { name: "stats", role: Role::Activation, row: Row::Ones };
const RESULT: Buffer = buffer("result", Role::Result);
const LOGSUMEXP: Buffer = Buffer { name: "logsumexp", role: Role::Result, row: Row::Ones };
const DK: Buffer = buffer("dk", Role::Result);
const DV: Buffer = buffer("dv", Role::Result);

pub(super) static FORWARD: Kernel<Head, AttentionSizes> =
    Kernel::new(|_| "attention", |_| LANES as u32, &[], &[Q, K, V, RESULT, LOGSUMEXP]);
pub(super) static BACKWARD_QUERIES: Kernel<Head, AttentionSizes> =
    Kernel::new(|_| "attention_backward_queries", |_| LANES as u32, &[], &[Q, K, V, DY, STATS, RESULT]);
pub(super) static BACKWARD_KEYS: Kernel<Head, AttentionSizes> =
    Kernel::new(|_| "attention_backward_keys", |_| LANES as u32, &[], &[Q, K, V, DY, STATS, DK, DV]);

/// An attention of some sizes.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Attention {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    /// Of a head.
    width: usize,
    head: Head,
    /// Workgroups that fill the device.
    wanted: usize,
}

impl Attention {
    /// Whether there are kernels for heads of this width.
    pub fn takes(head_width: usize) -> bool {
        Head::new(head_width, false).is_some()
    }

    /// The kernels for these tensors, where they are faster than the composition.
    ///
    /// The kernels launch a third as often as the composition and need no memory for scores, but each invocation has a
    /// whole query in its registers: beyond 80 values a GPU would have to spill them. So wide heads are left to the
    /// composition until their scores take more than 64 MiB. These bounds are guesses: no GPU was at hand to measure
    /// them.
    pub fn where_faster(q: &Tensor<3>, k: &Tensor<3>, heads: usize, causal: bool) -> Option<Self> {
        let ([batch, queries, inner], [_, keys, _]) = (q.dims(), k.dims());
        let width = inner / heads;
        let head = Head::new(width, causal)?;
        let scores = batch * heads * queries * keys * size_of::<f32>();
        let fits = batch * heads <= MOST_GROUPS as usize;
        // A software GPU has a core or a few to fill.
        let wanted = if software_gpu(q).is_some() { 2 } else { WANTED_GROUPS };
        (fits && (width <= 80 || scores > 64 << 20)).then_some(Self {
            batch,
            queries,
            keys,
            heads,
            width,
            head,
            wanted,
        })
    }

    /// The result, and the logarithm of each query's sum of exponentials, `[B, queries, heads]`.
    pub fn forward(&self, q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let groups = [self.queries.div_ceil(LANES), self.batch * self.heads, 1];
        let (shape, sums) = (q.dims(), [self.batch, self.queries, self.heads]);
        let launch = self.launch(&FORWARD, &[Some(q as _), Some(k as _), Some(v as _)], 0, groups, 2);
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
        let delta = (y.clone() * dy.clone()).reshape([batch, queries, heads, width]).sum_dim(3);
        let stats = Tensor::cat(vec![logsumexp.clone(), delta.reshape([batch, queries, heads])], 0);
        let inputs = [q, k, v, dy, &stats].map(|tensor| Some(tensor as &dyn Operand));
        let groups = [queries.div_ceil(LANES), batch * heads, 1];
        let dq = self.launch(&BACKWARD_QUERIES, &inputs, 0, groups, 3).run(q.dims());

        let [splits, span] = self.splits();
        let groups = [keys.div_ceil(LANES), batch * heads, splits];
        let shape = [splits, batch, keys, heads * width];
        let shares = self.launch(&BACKWARD_KEYS, &inputs, span, groups, 4).run_for([&shape, &shape]);
        let [dk, dv] = shares.map(|shares| {
            let shares = Tensor::<4>::from_primitive::<CubeBackend>(shares);
            let sum = if splits == 1 { shares } else { shares.sum_dim(0) };
            sum.reshape([batch, keys, heads * width])
        });
        [dq, dk, dv]
    }

    /// Into how many parts the queries are split for the gradients to keys and values, and how many each has: as many
    /// as fill the device, of at least a workgroup's lanes.
    fn splits(&self) -> [usize; 2] {
        let groups = self.keys.div_ceil(LANES) * self.batch * self.heads;
        let splits = self.wanted.div_ceil(groups).min(self.queries.div_ceil(LANES));
        let span = self.queries.div_ceil(splits).next_multiple_of(LANES);
        [self.queries.div_ceil(span), span]
    }

    /// A launch that makes this many products of all queries and all keys.
    fn launch(
        &self,
        kernel: &Kernel<Head, AttentionSizes>,
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
            scale: 1.0 / (width as f32).sqrt(),
            span: span as u32,
            batch: batch as u32,
            first_group: 0,
        };
        kernel
            .launch(self.head, &[], inputs, &sizes, groups)
            .operations(&[products, batch, heads, queries, keys, width])
            .cut(0, offset_of!(AttentionSizes, first_group))
    }
}
