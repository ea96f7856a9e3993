//! Normalisations.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::MOST_GROUPS;
use super::device::{SoftwareGpu, makes_blocks};
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant};
use super::launch::{Launch, Operand};
use super::uniform::uniform_sizes;
use crate::ops::Norm;

uniform_sizes! {
    /// The sizes of a group normalisation.
    struct GroupSizes {
        positions: u32,
        channels: u32,
        groups: u32,
        first: u32,
        span: u32,
        spans: u32,
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

/// Invocations of a workgroup that normalises a group, and of one that normalises a row.
const GROUP_LANES: u32 = 256;
const ROW_LANES: u32 = 64;

/// Values that a workgroup of hardware should have of a group: less of them, and launches cost more than is gained.
const SPAN: usize = 8192;
/// The fewest spans that are worth the launches that sum them up, and the most: each workgroup walks over what is known of all.
const SPANS: std::ops::RangeInclusive<usize> = 4..=64;

/// A group's channels, or a row's values: everything lies in rows of these.
const ROW: Row = Row::Axis(0);
const X: Buffer = Buffer { name: "x", role: Role::Activation, row: ROW };
const DY: Buffer = Buffer { name: "dy", role: Role::Activation, row: ROW };
const GAMMA: Buffer = Buffer { name: "gamma", role: Role::Factor, row: ROW };
const BETA: Buffer = Buffer { name: "beta", role: Role::Factor, row: ROW };
const COLLECTED: Buffer = Buffer { name: "collected", role: Role::OptionalActivation, row: ROW };
/// What else was collected.
const BESIDE: Buffer = Buffer { name: "beside", ..COLLECTED };
const RESULT: Buffer = Buffer { name: "result", role: Role::Result, row: ROW };
/// What is joined with `x`, what the two are joined to, and the gradients to both.
const SKIP: Buffer = Buffer { name: "skip", role: Role::Activation, row: ROW };
const JOINED: Buffer = Buffer { name: "joined", role: Role::Result, row: ROW };
const DX: Buffer = Buffer { name: "dx", role: Role::Result, row: ROW };
const DSKIP: Buffer = Buffer { name: "dskip", role: Role::Result, row: ROW };
/// What is known of each span, `[B, groups, spans, 4]`: as it is written, and as it is read.
const KNOWN: Buffer = Buffer { name: "result", role: Role::Result, row: Row::Fours };
const OF_SPANS: Buffer = Buffer { name: "spans", role: Role::Activation, row: Row::Fours };
/// Mean and reciprocal standard deviation of each group, and two zeros: `[B, groups, 4]`.
const OF_GROUPS: Buffer = Buffer { name: "known", role: Role::Activation, row: Row::Fours };

/// For which GPU a workgroup is: a software GPU, or one of hardware.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Team(Option<SoftwareGpu>);

impl Team {
    /// Its invocations, of which one of hardware has so many.
    fn lanes(self, hardware: u32) -> u32 {
        self.0.map_or(hardware, SoftwareGpu::width)
    }
}

impl Variant for Team {
    fn all() -> Vec<Self> {
        SoftwareGpu::ALL.map(Some).into_iter().chain([None]).map(Self).collect()
    }

    fn constants(self) -> Vec<Constant> {
        Vec::new()
    }

    fn label(self) -> String {
        self.0.map(|software| format!("{} at a time", software.width())).unwrap_or_default()
    }

    fn for_hardware(self) -> bool {
        self.0.is_none()
    }
}

/// A team that normalises a group, and what comes after that.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Then {
    silu: bool,
    team: Team,
}

impl Variant for Then {
    fn all() -> Vec<Self> {
        Team::all().into_iter().flat_map(|team| [false, true].map(|silu| Self { silu, team })).collect()
    }

    fn constants(self) -> Vec<Constant> {
        vec![("silu", u32::from(self.silu))]
    }

    fn label(self) -> String {
        let silu = format!("silu {}", u32::from(self.silu));
        [silu, self.team.label()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    fn for_hardware(self) -> bool {
        self.team.for_hardware()
    }
}

/// What comes after a normalisation whose groups have several workgroups each, as those of hardware have where they are large.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Silu(bool);

impl Variant for Silu {
    fn all() -> Vec<Self> {
        [false, true].map(Self).to_vec()
    }

    fn constants(self) -> Vec<Constant> {
        vec![("silu", u32::from(self.0))]
    }
}

pub(super) static GROUPS_FORWARD: Kernel<Then, GroupSizes> =
    Kernel::new(|_| "group_norm", |then| then.team.lanes(GROUP_LANES), &[], &[X, GAMMA, BETA, RESULT]);
pub(super) static GROUPS_BACKWARD: Kernel<Then, GroupSizes> = Kernel::new(
    |_| "group_norm_backward",
    |then| then.team.lanes(GROUP_LANES),
    &[],
    &[X, DY, GAMMA, BETA, COLLECTED, BESIDE, RESULT],
);
pub(super) static JOINED_FORWARD: Kernel<Then, GroupSizes> = Kernel::new(
    |_| "group_norm_joined",
    |then| then.team.lanes(GROUP_LANES),
    &[],
    &[X, SKIP, GAMMA, BETA, RESULT, JOINED],
);
pub(super) static JOINED_BACKWARD: Kernel<Then, GroupSizes> = Kernel::new(
    |_| "group_norm_joined_backward",
    |then| then.team.lanes(GROUP_LANES),
    &[],
    &[X, DY, GAMMA, BETA, COLLECTED, DX, DSKIP],
);
pub(super) static SPANS_MOMENTS: Kernel<(), GroupSizes> =
    Kernel::new(|()| "group_moments", |()| GROUP_LANES, &[], &[X, KNOWN]);
pub(super) static SPANS_MOMENTS_JOINED: Kernel<(), GroupSizes> =
    Kernel::new(|()| "group_moments_joined", |()| GROUP_LANES, &[], &[X, SKIP, KNOWN]);
pub(super) static SPANS_SUMS: Kernel<Silu, GroupSizes> =
    Kernel::new(|_| "group_sums", |_| GROUP_LANES, &[], &[X, DY, GAMMA, BETA, OF_SPANS, KNOWN]);
pub(super) static SPANS_FORWARD: Kernel<Silu, GroupSizes> =
    Kernel::new(|_| "group_norm_spans", |_| GROUP_LANES, &[], &[X, GAMMA, BETA, OF_SPANS, RESULT]);
pub(super) static KNOWN_FORWARD: Kernel<Silu, GroupSizes> =
    Kernel::new(|_| "group_norm_known", |_| GROUP_LANES, &[], &[X, GAMMA, BETA, OF_GROUPS, RESULT]);
pub(super) static SPANS_JOINED_FORWARD: Kernel<Silu, GroupSizes> =
    Kernel::new(|_| "group_norm_joined_spans", |_| GROUP_LANES, &[], &[X, SKIP, GAMMA, BETA, OF_SPANS, RESULT, JOINED]);
pub(super) static SPANS_BACKWARD: Kernel<Silu, GroupSizes> = Kernel::new(
    |_| "group_norm_backward_spans",
    |_| GROUP_LANES,
    &[],
    &[X, DY, GAMMA, BETA, OF_SPANS, COLLECTED, BESIDE, RESULT],
);
pub(super) static SPANS_JOINED_BACKWARD: Kernel<Silu, GroupSizes> = Kernel::new(
    |_| "group_norm_joined_backward_spans",
    |_| GROUP_LANES,
    &[],
    &[X, DY, GAMMA, BETA, OF_SPANS, COLLECTED, DX, DSKIP],
);
pub(super) static ROWS_FORWARD: Kernel<Team, RowSizes> =
    Kernel::new(|_| "layer_norm", |team| team.lanes(ROW_LANES), &[], &[X, GAMMA, BETA, RESULT]);
pub(super) static ROWS_BACKWARD: Kernel<Team, RowSizes> =
    Kernel::new(|_| "layer_norm_backward", |team| team.lanes(ROW_LANES), &[], &[X, DY, GAMMA, COLLECTED, RESULT]);

/// Group normalisation of `[B, P, C]`, perhaps followed by `silu`.
#[derive(Clone)]
pub(in crate::ops) struct GroupNorm {
    pub norm: Norm,
    pub with_silu: bool,
}

impl GroupNorm {
    pub fn forward(&self, x: &Tensor<3>) -> Tensor<3> {
        let Norm { weight, bias, .. } = &self.norm;
        let groups = self.groups(x, x.dims(), None);
        let launch = if groups.spans > 1 {
            let moments = groups.known((), &SPANS_MOMENTS, &[Some(x as _)]);
            let inputs = [Some(x as _), Some(weight as _), Some(bias as _), Some(&moments as _)];
            groups.launch(Silu(self.with_silu), &SPANS_FORWARD, &inputs)
        } else {
            let inputs = [Some(x as _), Some(weight as _), Some(bias as _)];
            groups.launch(self.then(x), &GROUPS_FORWARD, &inputs)
        };
        launch.run(x.dims())
    }

    /// Of spans of the positions of `x`: how many values of a group each has, and their means and the sums of the squares of
    /// what they are from them, `[B, groups, spans, 4]`, of which the last two are zero. None on a software GPU, which waits at
    /// barriers for longer than Burn's sums take.
    pub fn spans(&self, x: &Tensor<3>) -> Option<(Vec<usize>, Tensor<4>)> {
        if makes_blocks(x).is_some() {
            return None;
        }
        let groups = self.groups(x, x.dims(), None);
        let ([_, positions, channels], span) = (x.dims(), groups.sizes.span as usize);
        let values = |first: usize| span.min(positions - first) * (channels / self.norm.groups);
        let counts = (0..positions).step_by(span).map(values).collect();
        Some((counts, groups.known((), &SPANS_MOMENTS, &[Some(x as _)])))
    }

    /// [`GroupNorm::forward`] for some positions of a map, of whose groups the means and the reciprocal standard deviations are
    /// known: `[B, groups, 1, 4]`, of which the last two are zero.
    pub fn forward_known(&self, x: &Tensor<3>, known: &Tensor<4>) -> Tensor<3> {
        let Norm { weight, bias, .. } = &self.norm;
        let inputs = [Some(x as _), Some(weight as _), Some(bias as _), Some(known as _)];
        let groups = self.groups(x, x.dims(), None);
        groups.launch(Silu(self.with_silu), &KNOWN_FORWARD, &inputs).run(x.dims())
    }

    /// The gradient to `x`, on top of what was `collected`.
    pub fn backward(&self, x: &Tensor<3>, dy: &Tensor<3>, collected: [Option<&Tensor<3>>; 2]) -> Tensor<3> {
        let groups = self.groups(x, x.dims(), None);
        let collected = collected.map(|collected| collected.map(|tensor| tensor as &dyn Operand));
        let launch = self.backward_launch(&groups, [x, dy], &collected, &GROUPS_BACKWARD, &SPANS_BACKWARD);
        launch.run(x.dims())
    }

    /// The normalisation of `x` and `skip`, channel after channel; and the two in one.
    pub fn forward_joined(&self, x: &Tensor<3>, skip: &Tensor<3>) -> [Tensor<3>; 2] {
        let ([batch, positions, first], [_, _, second]) = (x.dims(), skip.dims());
        let (Norm { weight, bias, .. }, shape) = (&self.norm, [batch, positions, first + second]);
        let groups = self.groups(x, shape, Some(first));
        let launch = if groups.spans > 1 {
            let moments = groups.known((), &SPANS_MOMENTS_JOINED, &[Some(x as _), Some(skip as _)]);
            let inputs = [Some(x as _), Some(skip as _), Some(weight as _), Some(bias as _), Some(&moments as _)];
            groups.launch(Silu(self.with_silu), &SPANS_JOINED_FORWARD, &inputs)
        } else {
            let inputs = [Some(x as _), Some(skip as _), Some(weight as _), Some(bias as _)];
            groups.launch(self.then(x), &JOINED_FORWARD, &inputs)
        };
        launch.run_for([&shape, &shape]).map(Tensor::from_primitive::<CubeBackend>)
    }

    /// The gradients to both, the first of which has so many channels, from what they were joined to and the gradient to the
    /// normalisation, on top of what was `collected` by what they were joined to.
    pub fn backward_joined(
        &self,
        first: usize,
        joined: &Tensor<3>,
        dy: &Tensor<3>,
        collected: Option<&Tensor<3>>,
    ) -> [Tensor<3>; 2] {
        let [batch, positions, channels] = joined.dims();
        let groups = self.groups(joined, joined.dims(), Some(first));
        let collected = [collected.map(|tensor| tensor as &dyn Operand)];
        let launch = self.backward_launch(&groups, [joined, dy], &collected, &JOINED_BACKWARD, &SPANS_JOINED_BACKWARD);
        let shapes = [first, channels - first].map(|channels| [batch, positions, channels]);
        launch.run_for([&shapes[0], &shapes[1]]).map(Tensor::from_primitive::<CubeBackend>)
    }

    /// The launch that makes the gradients to what was normalised: of the kernel whose workgroups each have a group, or of that
    /// whose workgroups have spans, behind what they need.
    fn backward_launch(
        &self,
        groups: &Groups,
        [x, dy]: [&Tensor<3>; 2],
        collected: &[Option<&dyn Operand>],
        alone: &Kernel<Then, GroupSizes>,
        by_spans: &Kernel<Silu, GroupSizes>,
    ) -> Launch {
        let Norm { weight, bias, .. } = &self.norm;
        let inputs = [Some(x as _), Some(dy as _), Some(weight as _), Some(bias as _)];
        if groups.spans == 1 {
            return groups.launch(self.then(x), alone, &[&inputs, collected].concat());
        }
        let silu = Silu(self.with_silu);
        let moments = groups.known((), &SPANS_MOMENTS, &[Some(x as _)]);
        let sums = groups.known(silu, &SPANS_SUMS, &[&inputs[..], &[Some(&moments as _)]].concat());
        groups.launch(silu, by_spans, &[&inputs[..], &[Some(&sums as _)], collected].concat())
    }

    fn then(&self, near: &Tensor<3>) -> Then {
        Then { silu: self.with_silu, team: Team(makes_blocks(near)) }
    }

    /// How maps of these sizes are normalised on a tensor's device, which are two in one where the `first` has so many channels.
    fn groups(&self, near: &Tensor<3>, [batch, positions, channels]: [usize; 3], first: Option<usize>) -> Groups {
        let groups = self.norm.groups;
        let size = channels / groups;
        let spans = (positions * size).div_ceil(SPAN).min(*SPANS.end());
        // A software GPU has few cores to fill.
        let spans = if spans < *SPANS.start() || makes_blocks(near).is_some() { 1 } else { spans };
        let span = positions.div_ceil(spans);
        let spans = positions.div_ceil(span);
        let sizes = GroupSizes {
            positions: positions as u32,
            channels: channels as u32,
            groups: groups as u32,
            first: first.unwrap_or(channels) as u32,
            span: span as u32,
            spans: spans as u32,
            eps: self.norm.eps as f32,
        };
        // Four neighbours are read at once where all four are always of one group and of one map.
        let by_fours = first.is_none_or(|first| first.is_multiple_of(4));
        Groups { batch, groups, spans, row: if by_fours { size } else { 1 }, sizes }
    }
}

/// How feature maps are normalised: so many groups of each sample, in so many spans.
struct Groups {
    batch: usize,
    groups: usize,
    spans: usize,
    /// The length of what is read in a row.
    row: usize,
    sizes: GroupSizes,
}

impl Groups {
    fn launch<V: Variant>(
        &self,
        variant: V,
        kernel: &Kernel<V, GroupSizes>,
        inputs: &[Option<&dyn Operand>],
    ) -> Launch {
        let groups = [self.batch * self.groups, self.spans, 1];
        kernel.launch(variant, &[self.row], inputs, &self.sizes, groups)
    }

    /// What a kernel says of each span.
    fn known<V: Variant>(
        &self,
        variant: V,
        kernel: &Kernel<V, GroupSizes>,
        inputs: &[Option<&dyn Operand>],
    ) -> Tensor<4> {
        self.launch(variant, kernel, inputs).run([self.batch, self.groups, self.spans, 4])
    }
}

/// Layer normalisation of the rows of `x`; none if there are more than a launch can have.
pub(in crate::ops) fn layer_norm(x: &Tensor<2>, norm: &Norm) -> Option<Tensor<2>> {
    by_rows(&ROWS_FORWARD, x, &[Some(x as _), Some(&norm.weight as _), Some(&norm.bias as _)], norm.eps)
}

/// The gradient to the input of [`layer_norm`], on top of what was `collected`.
pub(in crate::ops) fn layer_norm_backward(
    x: &Tensor<2>,
    dy: &Tensor<2>,
    norm: &Norm,
    collected: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let collected = collected.map(|collected| collected as _);
    by_rows(&ROWS_BACKWARD, x, &[Some(x as _), Some(dy as _), Some(&norm.weight as _), collected], norm.eps)
}

fn by_rows(
    kernel: &Kernel<Team, RowSizes>,
    x: &Tensor<2>,
    inputs: &[Option<&dyn Operand>],
    eps: f64,
) -> Option<Tensor<2>> {
    let [rows, width] = x.dims();
    if rows > MOST_GROUPS as usize {
        return None;
    }
    let sizes = RowSizes { rows: rows as u32, width: width as u32, eps: eps as f32 };
    Some(kernel.launch(Team(makes_blocks(x)), &[width], inputs, &sizes, [rows, 1, 1]).run([rows, width]))
}
