//! Products whose factors are rounded to f16, with sums in f32: with cooperative matrices where a device has them, else in
//! the tiles of products in f32.
//!
//! The left factor, computed values of any size, is brought into f16's range by a power of two, which the largest of the
//! values that a workgroup has met decides (`shaders/shared/scale.wgsl`); the product is brought back where it is written.
//! The right factor is a frozen weight, most often one that is stored in f16. Products of few rows or columns, which wait for memory, stay in f32, and so
//! does every weight that asks for it ([`Weight::is_exact`]).

use burn::tensor::Tensor;

use super::MOST_GROUPS;
use super::attention::HeadMatrices;
use super::device::half_products;
use super::kernel::{Constant, Variant};
use super::tile::{ProductClass, Tile};
use crate::ops::Weight;

/// How products in f16 are made on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfProducts {
    /// With cooperative matrices.
    Matrices {
        /// Rows and columns of each matrix.
        shape: u32,
        /// Invocations of a subgroup, for which the workgroups are made. Where a subgroup has others, they are slow, and
        /// [right](HalfProducts::is_right_with) up to a number.
        subgroup: u32,
    },
    /// In the tiles of products in f32, with strips in f16.
    Strips,
}

impl HalfProducts {
    /// Tiles of each way.
    pub const TILES: usize = 3;

    /// Every way for which there are kernels.
    pub const ALL: [HalfProducts; 5] = [
        HalfProducts::Matrices { shape: 16, subgroup: 32 },
        HalfProducts::Matrices { shape: 16, subgroup: 64 },
        HalfProducts::Matrices { shape: 8, subgroup: 32 },
        HalfProducts::Matrices { shape: 8, subgroup: 8 },
        HalfProducts::Strips,
    ];

    /// Whether the kernels are right on a device whose subgroups have up to so many invocations.
    pub fn is_right_with(self, widest_subgroup: u32) -> bool {
        match self {
            HalfProducts::Matrices { shape, subgroup } => {
                widest_subgroup <= HeadMatrices::widest_subgroup(shape, subgroup)
            }
            HalfProducts::Strips => true,
        }
    }

    /// What people and files call it.
    pub fn name(self) -> String {
        match self {
            HalfProducts::Matrices { shape, subgroup } => {
                format!("matrices of {shape} x {shape}, subgroups of {subgroup}")
            }
            HalfProducts::Strips => "strips in f16".to_owned(),
        }
    }

    /// Reads the name that [`HalfProducts::name`] gives.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// Its tiles: for large, medium and small products.
    fn tiles(self) -> [HalfTile; Self::TILES] {
        let HalfProducts::Matrices { shape, subgroup } = self else {
            return [ProductClass::Large, ProductClass::Medium, ProductClass::Small]
                .map(|class| HalfTile::Strips(class.usual()));
        };
        let share = |rows, columns, depth| MatrixTile { shape, subgroup, rows, columns, depth };
        let shares = match (shape, subgroup) {
            (16, 32) => [share(4, 2, 16), share(2, 2, 16), share(1, 1, 32)],
            (16, _) => [share(4, 2, 16), share(2, 2, 32), share(1, 1, 32)],
            _ => [share(4, 4, 32), share(4, 4, 32), share(2, 2, 32)],
        };
        shares.map(HalfTile::Matrices)
    }
}

/// What is made in f16 on a device, and how: a way, and what of it is fastest there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfMethod {
    /// The way.
    pub way: HalfProducts,
    /// The number of the way's tile (0 is the largest) that large, medium and small products are made in.
    pub tiles: [usize; HalfProducts::TILES],
    /// Whether attentions are made in f16, too, where the way has kernels for that.
    pub attends: bool,
}

impl From<HalfProducts> for HalfMethod {
    /// As it is done where nothing was measured.
    fn from(way: HalfProducts) -> Self {
        Self { way, tiles: std::array::from_fn(|tile| tile), attends: true }
    }
}

impl HalfMethod {
    /// What people call it.
    pub fn name(self) -> String {
        let but = if self.attends { "" } else { ", attention in f32" };
        format!("{}{but}", self.way.name())
    }
}

/// A way to cut the result of a product in f16 into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HalfTile {
    /// Made with cooperative matrices.
    Matrices(MatrixTile),
    /// As in f32, with strips in f16.
    Strips(Tile),
}

impl HalfTile {
    pub fn lanes(self) -> u32 {
        match self {
            HalfTile::Matrices(tile) => tile.lanes(),
            HalfTile::Strips(tile) => tile.lanes(),
        }
    }

    /// Whether what writes a value can have its gate, too: an invocation has two quads of columns, a share of matrices pairs of
    /// them.
    pub fn has_pairs(self) -> bool {
        match self {
            HalfTile::Matrices(tile) => tile.columns.is_multiple_of(2),
            HalfTile::Strips(tile) => tile.has_pairs(),
        }
    }

    /// This tile, or the smallest [with pairs](Self::has_pairs).
    pub fn with_pairs(self) -> Self {
        match self {
            HalfTile::Matrices(MatrixTile { shape, subgroup, .. }) if !self.has_pairs() => {
                HalfProducts::Matrices { shape, subgroup }.tiles()[1]
            }
            HalfTile::Matrices(_) => self,
            HalfTile::Strips(tile) => HalfTile::Strips(tile.with_pairs()),
        }
    }

    /// The file of a product's kernel: with cooperative matrices or without.
    pub fn file(self, matrices: &'static str, strips: &'static str) -> &'static str {
        match self {
            HalfTile::Matrices(_) => matrices,
            HalfTile::Strips(_) => strips,
        }
    }

    /// Workgroups along the columns and along the rows; none if there are more than a launch can have.
    pub fn groups(self, rows: usize, columns: usize) -> Option<[usize; 2]> {
        let groups = match self {
            HalfTile::Matrices(tile) => {
                [columns.div_ceil(tile.tile_columns() as usize), rows.div_ceil(tile.tile_rows() as usize)]
            }
            HalfTile::Strips(tile) => tile.groups(rows, columns),
        };
        groups.iter().all(|groups| *groups <= MOST_GROUPS as usize).then_some(groups)
    }
}

impl Variant for HalfTile {
    fn all() -> Vec<Self> {
        let mut all: Vec<Self> = HalfProducts::ALL.into_iter().flat_map(HalfProducts::tiles).collect();
        all.dedup();
        all
    }

    fn constants(self) -> Vec<Constant> {
        match self {
            HalfTile::Matrices(tile) => tile.constants(),
            HalfTile::Strips(tile) => tile.constants(),
        }
    }

    fn part(self) -> Option<&'static str> {
        match self {
            HalfTile::Matrices(_) => None,
            HalfTile::Strips(_) => Some("shared/strip_f16"),
        }
    }

    fn label(self) -> String {
        match self {
            HalfTile::Matrices(tile) => tile.label(),
            HalfTile::Strips(tile) => format!("tile {}, strips in f16", tile.name()),
        }
    }

    fn computes_in_f16(self) -> bool {
        true
    }

    /// Subgroups of eight are lavapipe's.
    fn for_hardware(self) -> bool {
        !matches!(self, HalfTile::Matrices(MatrixTile { subgroup: 8, .. }))
    }
}

/// A way to cut the result of a product into tiles that are made with cooperative matrices;
/// `shaders/shared/matrices.wgsl` explains the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MatrixTile {
    shape: u32,
    subgroup: u32,
    /// Matrices of a share, one below another.
    rows: u32,
    /// Matrices of a share, side by side.
    columns: u32,
    /// How much of the inner axis is in workgroup memory at a time.
    depth: u32,
}

/// Shares of a tile along each side.
const SHARES: u32 = 2;

impl MatrixTile {
    fn tile_rows(self) -> u32 {
        self.shape * self.rows * SHARES
    }

    fn tile_columns(self) -> u32 {
        self.shape * self.columns * SHARES
    }

    fn lanes(self) -> u32 {
        SHARES * SHARES * self.subgroup
    }

    fn label(self) -> String {
        let Self { shape, subgroup, .. } = self;
        let (rows, columns) = (self.tile_rows(), self.tile_columns());
        format!("{rows}x{columns} of {shape}x{shape}, subgroups of {subgroup}")
    }

    fn constants(self) -> Vec<Constant> {
        let Self { shape, rows, columns, depth, .. } = self;
        let quads = |values: u32| values * depth / 4 / self.lanes();
        vec![
            ("shape", shape),
            ("down", SHARES),
            ("across", SHARES),
            ("rows", rows),
            ("columns", columns),
            ("depth", depth),
            ("left_loads", quads(self.tile_rows())),
            ("right_loads", quads(self.tile_columns())),
        ]
    }
}

/// How a product is made in f16, if it is: its tile and its workgroups. The inner axis and the columns must be multiples of
/// four.
pub(super) fn half_tile<const D: usize>(
    left: &Tensor<D>,
    right: &Weight<2>,
    [rows, columns, inner]: [usize; 3],
) -> Option<(HalfTile, [usize; 2])> {
    let (HalfMethod { way, tiles: chosen, .. }, pinned) = half_products(left)?;
    if right.is_exact() || !columns.is_multiple_of(4) || !inner.is_multiple_of(4) {
        return None;
    }
    let tiles = way.tiles();
    let tile = match (pinned, ProductClass::of(rows, columns)) {
        (Some(pinned), _) => *tiles.get(pinned)?,
        (None, ProductClass::FewRows | ProductClass::FewColumns) => return None,
        (None, ProductClass::Large) => tiles[chosen[0]],
        (None, ProductClass::Medium) => tiles[chosen[1]],
        (None, ProductClass::Small) => tiles[chosen[2]],
    };
    Some((tile, tile.groups(rows, columns)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_by_the_names_that_they_are_written_with() {
        for way in HalfProducts::ALL {
            assert_eq!(HalfProducts::from_name(&way.name()), Some(way));
        }
        assert_eq!(HalfProducts::from_name("matrices of 7 x 7, subgroups of 3"), None);
    }

    #[test]
    fn every_tile_fits_its_kernel() {
        for tile in HalfTile::all() {
            let HalfTile::Matrices(tile) = tile else { continue };
            // Each invocation fills as much of a strip as every other.
            for values in [tile.tile_rows(), tile.tile_columns()] {
                assert_eq!(values * tile.depth / 4 % tile.lanes(), 0, "{tile:?}");
            }
            assert_eq!(tile.lanes() % (tile.depth / 4), 0, "{tile:?}");
            assert_eq!(tile.depth % tile.shape, 0, "{tile:?}");
            // What leaves of a matrix of each share is at most two quads for each.
            assert!(tile.shape * tile.shape * SHARES * SHARES <= 8 * tile.lanes(), "{tile:?}");
            assert!(HalfTile::Matrices(tile).with_pairs().has_pairs(), "{tile:?}");
        }
    }
}
