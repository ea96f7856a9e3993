//! Two linear layers with an activation between them: each of the products beside the activation does its share of it.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::Activation;
use super::fused::FusedMethod;
use super::halves::HalfTile;
use super::kernel::{Buffer, Constant, Kernel, Role, Row, Variant, some_variants};
use super::launch::Operand;
use super::linear::LinearSizes;
use super::tile::{ProductMethod, Tile};
use crate::ops::{Linear, Weight};

/// What is between the two layers of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Between {
    /// A function of each value.
    Activation(Activation),
    /// Values times `gelu` of their gates: half as many as before.
    Geglu,
}

impl Between {
    const ALL: [Between; 4] = [
        Between::Activation(Activation::Silu),
        Between::Activation(Activation::QuickGelu),
        Between::Activation(Activation::Gelu),
        Between::Geglu,
    ];

    /// Whether MLPs have it: `silu` follows layers of the time embedding, which have no gradient.
    pub fn is_of_mlps(self) -> bool {
        self != Between::Activation(Activation::Silu)
    }

    /// Whether it is a function of each value, so that any product can end with it.
    pub fn is_of_each_value(self) -> bool {
        matches!(self, Between::Activation(_))
    }

    /// Its number in the texts.
    fn kind(self) -> u32 {
        match self {
            Between::Activation(which) => which as u32,
            Between::Geglu => 3,
        }
    }

    /// How many values come out of so many.
    pub fn width(self, columns: usize) -> usize {
        if self == Between::Geglu { columns / 2 } else { columns }
    }

    fn name(self) -> &'static str {
        match self {
            Between::Activation(Activation::Silu) => "silu",
            Between::Activation(Activation::QuickGelu) => "quick_gelu",
            Between::Activation(Activation::Gelu) => "gelu",
            Between::Geglu => "geglu",
        }
    }
}

/// A product whose result goes through an activation or, in the backward pass, is multiplied by its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Activated {
    method: FusedMethod,
    between: Between,
}

impl Activated {
    pub fn new(method: FusedMethod, between: Between) -> Self {
        Self { method, between }
    }

    /// Those with one of these activations.
    pub fn with(of: impl Fn(Between) -> bool) -> impl Iterator<Item = Self> {
        Self::all().into_iter().filter(move |activated| of(activated.between))
    }

    pub fn lanes(self) -> u32 {
        self.method.lanes()
    }

    /// Whether it is for software GPUs.
    pub fn is_blocks(self) -> bool {
        self.method.is_blocks()
    }

    /// The file of its kernel: for tiles, for blocks or for cooperative matrices.
    pub fn file(self, files: [&'static str; 3]) -> &'static str {
        self.method.file(files)
    }
}

impl Variant for Activated {
    fn all() -> Vec<Self> {
        let of = |between: Between| FusedMethod::all().into_iter().map(move |method| Self { method, between });
        Between::ALL.into_iter().flat_map(of).collect()
    }

    fn constants(self) -> Vec<Constant> {
        let mut constants = self.method.constants();
        constants.push(("kind", self.between.kind()));
        constants
    }

    fn part(self) -> Option<&'static str> {
        self.method.part()
    }

    fn label(self) -> String {
        format!("{}, {}", self.method.label(), self.between.name())
    }

    fn for_hardware(self) -> bool {
        self.method.for_hardware()
    }

    fn computes_in_f16(self) -> bool {
        self.method.computes_in_f16()
    }
}

/// The first layer and a function of each of its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forward(Activated);

some_variants!(Forward, Activated::with(Between::is_of_each_value));

/// The gradient to what goes into the activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Backward(Activated);

some_variants!(Backward, Activated::with(Between::is_of_mlps));

/// The first layer of a gated MLP, where what writes a value has its gate, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gated(FusedMethod);

some_variants!(Gated, {
    let tiles = Tile::ALL.into_iter().filter(|tile| tile.has_pairs()).map(ProductMethod::Tile);
    let halves = HalfTile::all().into_iter().filter(|tile| tile.has_pairs());
    tiles.map(FusedMethod::Full).chain(halves.map(FusedMethod::Half))
});

impl Gated {
    /// By a method [with pairs](FusedMethod::with_pairs).
    pub fn new(method: FusedMethod) -> Self {
        Self(method)
    }

    pub fn lanes(self) -> u32 {
        self.0.lanes()
    }

    /// The file of its kernel: for tiles or for cooperative matrices.
    pub fn file(self, [tiles, matrices]: [&'static str; 2]) -> &'static str {
        self.0.file([tiles, tiles, matrices])
    }
}

pub(super) const LEFT: Buffer = Buffer { name: "left", role: Role::Activation, row: Row::Fours };
pub(super) const RIGHT: Buffer = Buffer { name: "right", role: Role::Matrix, row: Row::Fours };
const BIAS: Buffer = Buffer { name: "bias", role: Role::Factor, row: Row::Fours };
/// What goes into the activation.
pub(super) const BEFORE: Buffer = Buffer { name: "before", role: Role::Result, row: Row::Fours };
pub(super) const RESULT: Buffer = Buffer { name: "result", role: Role::Result, row: Row::Fours };

pub(super) static ACTIVATED: Kernel<Forward, LinearSizes> = Kernel::new(
    |forward| forward.0.file(["linear_activated", "linear_activated_blocks", "linear_activated_matrices"]),
    |forward| forward.0.lanes(),
    &[("by_columns", 1)],
    &[LEFT, RIGHT, BIAS, BEFORE, RESULT],
);
pub(super) static GATED: Kernel<Gated, LinearSizes> = Kernel::new(
    |gated| gated.file(["linear_geglu", "linear_geglu_matrices"]),
    |gated| gated.lanes(),
    &[("by_columns", 1)],
    &[LEFT, RIGHT, BIAS, BEFORE, RESULT],
);
pub(super) static SLOPE: Kernel<Backward, LinearSizes> = Kernel::new(
    |backward| backward.0.file(["linear_slope", "linear_slope_blocks", "linear_slope_matrices"]),
    |backward| backward.0.lanes(),
    &[("by_columns", 0)],
    &[LEFT, RIGHT, Buffer { name: "before", role: Role::Activation, row: Row::Fours }, RESULT],
);

/// What goes into the activation after the first layer, and what comes out; none where the two take a launch each.
pub(in crate::ops) fn activated(x: &Tensor<2>, layer: &Linear, between: Between) -> Option<[Tensor<2>; 2]> {
    let Linear { weight, bias: Some(bias) } = layer else { return None };
    let ([rows, _], [columns, inner]) = (x.dims(), weight.dims());
    let (width, axes) = (between.width(columns), [rows, columns, inner]);
    if !inner.is_multiple_of(4) || !width.is_multiple_of(4) {
        return None;
    }
    let method = FusedMethod::of(x, weight, axes);
    let method = if between == Between::Geglu { method.with_pairs()? } else { method };
    let [across, down] = method.groups(rows, columns)?;
    let (sizes, inputs) = (LinearSizes::whole(axes), [Some(x as &dyn Operand), Some(weight as _), Some(bias as _)]);
    let groups = [across, down, 1];
    let launch = match between {
        Between::Activation(_) => {
            ACTIVATED.launch(Forward(Activated::new(method, between)), &[], &inputs, &sizes, groups)
        }
        Between::Geglu => GATED.launch(Gated::new(method), &[], &inputs, &sizes, groups),
    };
    let launch = launch.operations(&axes).cut(method.axis(), LinearSizes::FIRST_GROUP);
    Some(launch.run_for([&[rows, columns], &[rows, width]]).map(Tensor::from_primitive::<CubeBackend>))
}

/// The gradient to what went into the activation, `before`, from that to the result of the second layer; none where the
/// layer and the activation take a launch each.
pub(in crate::ops) fn slope(
    dy: &Tensor<2>,
    weight: &Weight<2>,
    before: &Tensor<2>,
    between: Between,
) -> Option<Tensor<2>> {
    let ([rows, _], [inner, columns]) = (dy.dims(), weight.dims());
    let axes = [rows, columns, inner];
    if !inner.is_multiple_of(4) || !columns.is_multiple_of(4) {
        return None;
    }
    let method = FusedMethod::of(dy, weight, axes);
    let [across, down] = method.groups(rows, columns)?;
    let inputs = [Some(dy as &dyn Operand), Some(weight as _), Some(before as _)];
    let variant = Backward(Activated::new(method, between));
    let launch = SLOPE.launch(variant, &[], &inputs, &LinearSizes::whole(axes), [across, down, 1]);
    let launch = launch.operations(&axes).cut(method.axis(), LinearSizes::FIRST_GROUP);
    Some(launch.run(before.dims()))
}
