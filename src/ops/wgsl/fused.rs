//! How products are made that do what is around them, too: a normalisation of their rows, an activation of their result.

use burn::tensor::Tensor;

use super::device::method;
use super::halves::{HalfTile, half_tile};
use super::kernel::{Constant, Variant};
use super::tile::ProductMethod;
use crate::ops::Weight;

/// In f32 or in f16. Rows of all buffers are multiples of four values long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FusedMethod {
    Full(ProductMethod),
    Half(HalfTile),
}

impl FusedMethod {
    /// How a product of these rows, columns and inner axis is made.
    pub fn of(left: &Tensor<2>, right: &Weight<2>, axes @ [rows, columns, _]: [usize; 3]) -> Self {
        match half_tile(left, right, axes) {
            Some((tile, _)) => FusedMethod::Half(tile),
            None => FusedMethod::Full(method(left, rows, columns)),
        }
    }

    /// This method, or the nearest in which what writes a value has its gate, too; none in blocks.
    pub fn with_pairs(self) -> Option<Self> {
        match self {
            FusedMethod::Full(ProductMethod::Tile(tile)) => {
                Some(FusedMethod::Full(ProductMethod::Tile(tile.with_pairs())))
            }
            FusedMethod::Full(ProductMethod::Blocks(_)) => None,
            FusedMethod::Half(tile) => Some(FusedMethod::Half(tile.with_pairs())),
        }
    }

    /// Whether it is for software GPUs, in f32.
    pub fn is_blocks(self) -> bool {
        matches!(self, FusedMethod::Full(ProductMethod::Blocks(_)))
    }

    /// Workgroups along the first two axes; none if there are more than a launch can have.
    pub fn groups(self, rows: usize, columns: usize) -> Option<[usize; 2]> {
        match self {
            FusedMethod::Full(method) => method.groups(rows, columns),
            FusedMethod::Half(tile) => tile.groups(rows, columns),
        }
    }

    /// The axis of the workgroups along which a launch may be cut.
    pub fn axis(self) -> usize {
        match self {
            FusedMethod::Full(method) => method.axis(),
            FusedMethod::Half(_) => 1,
        }
    }

    pub fn lanes(self) -> u32 {
        match self {
            FusedMethod::Full(method) => method.lanes(),
            FusedMethod::Half(tile) => tile.lanes(),
        }
    }

    /// The file of a product's kernel: for tiles, for blocks or for cooperative matrices.
    pub fn file(self, [tiles, blocks, matrices]: [&'static str; 3]) -> &'static str {
        match self {
            FusedMethod::Full(method) => method.file(tiles, blocks),
            FusedMethod::Half(tile) => tile.file(matrices, tiles),
        }
    }
}

impl Variant for FusedMethod {
    fn all() -> Vec<Self> {
        let full = ProductMethod::all().into_iter().map(FusedMethod::Full);
        full.chain(HalfTile::all().into_iter().map(FusedMethod::Half)).collect()
    }

    fn constants(self) -> Vec<Constant> {
        match self {
            FusedMethod::Full(method) => method.constants(),
            FusedMethod::Half(tile) => tile.constants(),
        }
    }

    fn part(self) -> Option<&'static str> {
        match self {
            FusedMethod::Full(method) => method.part(),
            FusedMethod::Half(tile) => tile.part(),
        }
    }

    fn label(self) -> String {
        match self {
            FusedMethod::Full(method) => method.label(),
            FusedMethod::Half(tile) => tile.label(),
        }
    }

    fn for_hardware(self) -> bool {
        match self {
            FusedMethod::Full(method) => method.for_hardware(),
            FusedMethod::Half(tile) => tile.for_hardware(),
        }
    }

    fn computes_in_f16(self) -> bool {
        matches!(self, FusedMethod::Half(_))
    }
}
