//! Attention that never writes its scores.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::{Cut, Format, Input, Kernel, Launch, MOST_GROUPS, WANTED_GROUPS, software_gpu};

const FORWARD: &[&str] = &[
    include_str!("../../../shaders/shared/attention.wgsl"),
    include_str!("../../../shaders/shared/attention_keys.wgsl"),
    include_str!("../../../shaders/attention.wgsl"),
];
const BACKWARD_QUERIES: &[&str] = &[
    include_str!("../../../shaders/shared/attention.wgsl"),
    include_str!("../../../shaders/shared/attention_keys.wgsl"),
    include_str!("../../../shaders/attention_backward_queries.wgsl"),
];
const BACKWARD_KEYS: &[&str] = &[
    include_str!("../../../shaders/shared/attention.wgsl"),
    include_str!("../../../shaders/attention_backward_keys.wgsl"),
];

/// Queries or keys of a workgroup, as the kernels declare it.
const LANES: usize = 64;
/// The widest head whose values the kernels keep in registers.
const WIDEST: usize = 160;

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
    /// Workgroups that fill the device.
    wanted: usize,
}

impl Attention {
    /// Whether there are kernels for heads of this width.
    pub fn takes(head_width: usize) -> bool {
        head_width.is_multiple_of(4) && head_width <= WIDEST
    }

    /// The kernels for these tensors, where they are better than the composition.
    ///
    /// The kernels launch a third as often as the composition and need no memory for scores, but each invocation has a whole
    /// query in its registers: beyond 80 values a GPU would have to spill them. So wide heads are left to the composition
    /// until their scores take more than 64 MiB. These bounds are guesses: no GPU was at hand to measure them.
    pub fn pays(q: &Tensor<3>, k: &Tensor<3>, heads: usize, causal: bool) -> Option<Self> {
        let ([batch, queries, inner], [_, keys, _]) = (q.dims(), k.dims());
        // A software GPU has a core or a few to fill.
        let wanted = if software_gpu(q).is_some() { 2 } else { WANTED_GROUPS };
        let sizes = Self { batch, queries, keys, heads, width: inner / heads, causal, wanted };
        let scores = batch * heads * queries * keys * size_of::<f32>();
        let fits = Self::takes(sizes.width) && batch * heads <= MOST_GROUPS as usize;
        (fits && (sizes.width <= 80 || scores > 64 << 20)).then_some(sizes)
    }

    /// The result, and the logarithm of each query's sum of exponentials, `[B, queries, heads]`.
    pub fn forward(&self, q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let inputs = self.inputs(&[("q", q), ("k", k), ("v", v)]);
        let groups = [self.queries.div_ceil(LANES), self.batch * self.heads, 1];
        let (shape, sums) = (q.dims(), [self.batch, self.queries, self.heads]);
        let [y, logsumexp] = self
            .launch("attention", FORWARD, &inputs, (&self.sizes(0), groups), 2)
            .run_for([("result", &shape, self.width), ("logsumexp", &sums, 1)]);
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
        let mut inputs = self.inputs(&[("q", q), ("k", k), ("v", v), ("dy", dy)]);
        inputs.push(("stats", Some(&stats), 1));
        let groups = [queries.div_ceil(LANES), batch * heads, 1];
        let dq = self
            .launch("attention_backward_queries", BACKWARD_QUERIES, &inputs, (&self.sizes(0), groups), 3)
            .run_in_rows(q.dims(), width);

        let [splits, span] = self.splits();
        let groups = [keys.div_ceil(LANES), batch * heads, splits];
        let shape = [splits, batch, keys, heads * width];
        let shares = self
            .launch("attention_backward_keys", BACKWARD_KEYS, &inputs, (&self.sizes(span), groups), 4)
            .run_for([("dk", &shape, width), ("dv", &shape, width)]);
        let [dk, dv] = shares.map(|shares| {
            let shares = Tensor::<4>::from_primitive::<CubeBackend>(shares);
            let sum = if splits == 1 { shares } else { shares.sum_dim(0) };
            sum.reshape([batch, keys, heads * width])
        });
        [dq, dk, dv]
    }

    /// Into how many parts the queries are split for the gradients to keys and values, and how many each has: as many as fill
    /// the device, of at least a workgroup's lanes.
    fn splits(&self) -> [usize; 2] {
        let groups = self.keys.div_ceil(LANES) * self.batch * self.heads;
        let splits = self.wanted.div_ceil(groups).min(self.queries.div_ceil(LANES));
        let span = self.queries.div_ceil(splits).next_multiple_of(LANES);
        [self.queries.div_ceil(span), span]
    }

    fn inputs<'a>(
        &self,
        tensors: &[(&'static str, &'a Tensor<3>)],
    ) -> Vec<(&'static str, Option<&'a dyn Input>, usize)> {
        tensors.iter().map(|(name, tensor)| (*name, Some(*tensor as &dyn Input), self.width)).collect()
    }

    fn sizes(&self, span: usize) -> [usize; 7] {
        let scale = 1.0 / (self.width as f32).sqrt();
        [self.queries, self.keys, self.heads, scale.to_bits() as usize, span, self.batch, 0]
    }

    /// `products` is how many products of all queries and all keys the kernel makes.
    fn launch<'a>(
        &self,
        name: &'static str,
        pieces: &'static [&'static str],
        inputs: &'a [(&'static str, Option<&'a dyn Input>, usize)],
        (sizes, groups): (&'a [usize], [usize; 3]),
        products: usize,
    ) -> Launch<'a> {
        let numbers = numbers(self.width / 4, self.causal);
        let Self { batch, queries, keys, heads, width, .. } = *self;
        let operations = super::operations(&[products, batch, heads, queries, keys, width]);
        let cut = Some(Cut { axis: 0, first: 6 });
        Launch { name, pieces, numbers, inputs, sizes, operations, cut, groups, lanes: LANES as u32 }
    }
}

/// What the kernels' text needs to know.
fn numbers(quads: usize, causal: bool) -> Vec<(&'static str, u32)> {
    // Two tiles of vectors of 16 bytes, and a little beside them, in 16 KiB; four neighbours are taken at a time.
    let tile = ((16384 - 256) / (2 * 16 * quads) / 4 * 4).min(32);
    vec![("quads", quads as u32), ("tile", tile as u32), ("causal", u32::from(causal))]
}

/// Every form of the kernels.
pub(super) fn forms() -> Vec<Kernel> {
    let quad = |name| (name, Format::F32x4);
    let (q, k, v, dy, stats) = (quad("q"), quad("k"), quad("v"), quad("dy"), ("stats", Format::F32x1));
    let mut forms = Vec::new();
    for width in [8, 12, 16, 32, 40, 64, 80, WIDEST] {
        for causal in [false, true] {
            let kernel = |name, pieces| Kernel::new(name, pieces, numbers(width / 4, causal));
            let results = [quad("result"), ("logsumexp", Format::F32x1)];
            forms.push(kernel("attention", FORWARD).with_buffers(&[q, k, v], &results));
            let inputs = [q, k, v, dy, stats];
            forms.push(kernel("attention_backward_queries", BACKWARD_QUERIES).with_buffers(&inputs, &[quad("result")]));
            forms.push(
                kernel("attention_backward_keys", BACKWARD_KEYS).with_buffers(&inputs, &[quad("dk"), quad("dv")]),
            );
        }
    }
    forms
}
