//! How the result of a product is cut: into tiles, one to a workgroup, or into blocks, one to an invocation.

use super::kernel::{Constant, Variant};
use super::{MOST_GROUPS, SoftwareGpu, WANTED_GROUPS};

/// How a product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProductMethod {
    /// For GPUs: a workgroup shares what it reads.
    Tile(Tile),
    /// For software GPUs: each invocation reads for itself. `shaders/shared/block.wgsl` explains why.
    Blocks(ProductBlock),
}

/// Invocations of a workgroup that makes blocks: as many as the widest software GPU computes at a time. Without barriers it is no
/// matter if another computes them in turns.
const BLOCK_LANES: usize = 8;

/// The values that an invocation makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProductBlock {
    rows: usize,
    /// Columns, in fours.
    quads: usize,
}

/// On lavapipe with products of 16 to 1024 rows and columns, 16 x 16 values beat every smaller and every narrower
/// block, and tiles by two to three times.
const LAVAPIPES: ProductBlock = ProductBlock { rows: 16, quads: 4 };
/// SwiftShader reads each value of each invocation behind branches of its own, so what counts is how many products are made of
/// what is read: these are nearly twice as fast as 4 x 4 values. With 16 x 16 its compiler takes minutes and gigabytes.
const OTHERS: ProductBlock = ProductBlock { rows: 8, quads: 2 };
/// The same for convolutions, where that compiler takes a minute for eight rows.
const OTHERS_WINDOWS: ProductBlock = ProductBlock { rows: 4, quads: 2 };

impl ProductBlock {
    pub const ALL: [ProductBlock; 3] = [LAVAPIPES, OTHERS, OTHERS_WINDOWS];

    /// The block for layers, or for convolutions.
    pub fn of(software: SoftwareGpu, has_windows: bool) -> Self {
        match software {
            SoftwareGpu::Lavapipe => LAVAPIPES,
            SoftwareGpu::Other if has_windows => OTHERS_WINDOWS,
            SoftwareGpu::Other => OTHERS,
        }
    }
}

impl ProductMethod {
    /// Workgroups along the first two axes; none if there are more than a launch can have.
    pub fn groups(self, rows: usize, columns: usize) -> Option<[usize; 2]> {
        let groups = match self {
            ProductMethod::Tile(tile) => tile.groups(rows, columns),
            ProductMethod::Blocks(block) => {
                let blocks = columns.div_ceil(4 * block.quads) * rows.div_ceil(block.rows);
                [blocks.div_ceil(BLOCK_LANES), 1]
            }
        };
        groups.iter().all(|groups| *groups <= MOST_GROUPS as usize).then_some(groups)
    }

    /// The axis of the workgroups along which a launch may be cut.
    pub fn axis(self) -> usize {
        match self {
            ProductMethod::Tile(_) => 1,
            ProductMethod::Blocks(_) => 0,
        }
    }

    pub fn lanes(self) -> u32 {
        match self {
            ProductMethod::Tile(tile) => tile.lanes(),
            ProductMethod::Blocks(_) => BLOCK_LANES as u32,
        }
    }

    /// The file of a product's kernel: for tiles or for blocks.
    pub fn file(self, tiles: &'static str, blocks: &'static str) -> &'static str {
        match self {
            ProductMethod::Tile(_) => tiles,
            ProductMethod::Blocks(_) => blocks,
        }
    }
}

impl Variant for ProductMethod {
    fn all() -> Vec<Self> {
        let tiles = Tile::ALL.into_iter().map(ProductMethod::Tile);
        tiles.chain(ProductBlock::ALL.into_iter().map(ProductMethod::Blocks)).collect()
    }

    fn constants(self) -> Vec<Constant> {
        match self {
            ProductMethod::Tile(tile) => tile.constants(),
            ProductMethod::Blocks(block) => vec![("rows", block.rows as u32), ("quads", block.quads as u32)],
        }
    }

    fn label(self) -> String {
        match self {
            ProductMethod::Tile(tile) => format!("tile {}", tile.name()),
            ProductMethod::Blocks(block) => format!("block {}x{}", block.rows, 4 * block.quads),
        }
    }

    fn part(self) -> Option<&'static str> {
        match self {
            ProductMethod::Tile(_) => Some("shared/strip_f32"),
            ProductMethod::Blocks(_) => None,
        }
    }

    fn for_hardware(self) -> bool {
        matches!(self, ProductMethod::Tile(_))
    }
}

/// A way to cut into tiles; `shaders/shared/tile.wgsl` explains the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    /// Invocations one below another.
    down: usize,
    /// Invocations side by side.
    across: usize,
    /// Rows of each invocation, in fours.
    row_quads: usize,
    /// Columns of each invocation, in fours.
    column_quads: usize,
    /// How much of the inner axis is in workgroup memory at a time.
    depth: usize,
}

/// For products large enough to fill a GPU: 128 x 64 values by 128 invocations, 64 values each.
const LARGE: Tile = Tile { down: 16, across: 8, row_quads: 2, column_quads: 2, depth: 16 };
/// 64 x 64 values by 64 invocations, 64 values each.
const MEDIUM: Tile = Tile { down: 8, across: 8, row_quads: 2, column_quads: 2, depth: 16 };
/// For small products: 32 x 32 values by 64 invocations, 16 values each, so that there are more workgroups.
const SMALL: Tile = Tile { down: 8, across: 8, row_quads: 1, column_quads: 1, depth: 32 };
/// For a few columns, such as the last convolution's: 128 x 16 values by 64 invocations, 32 values each.
const NARROW: Tile = Tile { down: 16, across: 4, row_quads: 2, column_quads: 1, depth: 8 };
/// For a few rows, such as a timestep's or those of the smallest feature maps: 16 x 64 values by 64 invocations, 16
/// values each. The time goes into reading the weight, so what counts is how many invocations do it. With 32 of 32 values
/// each, and strips 32 deep, 3 waves fit on a SIMD of RDNA 3 instead of 12.
const FLAT: Tile = Tile { down: 4, across: 16, row_quads: 1, column_quads: 1, depth: 16 };

impl Tile {
    pub const ALL: [Tile; 5] = [LARGE, MEDIUM, SMALL, NARROW, FLAT];

    /// What people and files call it: `128x64`.
    pub fn name(self) -> String {
        format!("{}x{}", self.rows(), self.columns())
    }

    pub fn rows(self) -> usize {
        4 * self.row_quads * self.down
    }

    pub fn columns(self) -> usize {
        4 * self.column_quads * self.across
    }

    /// Whether an invocation has two quads of columns.
    pub fn has_pairs(self) -> bool {
        self.column_quads == 2
    }

    /// This tile, or the smallest in which an invocation has two quads of columns.
    pub fn with_pairs(self) -> Self {
        if self.has_pairs() { self } else { MEDIUM }
    }

    /// Workgroups along the columns and along the rows.
    pub fn groups(self, rows: usize, columns: usize) -> [usize; 2] {
        [columns.div_ceil(self.columns()), rows.div_ceil(self.rows())]
    }

    pub fn lanes(self) -> u32 {
        (self.down * self.across) as u32
    }

    pub fn constants(self) -> Vec<Constant> {
        let Self { down, across, row_quads, column_quads, depth } = self;
        [("down", down), ("across", across), ("row_quads", row_quads), ("column_quads", column_quads), ("depth", depth)]
            .map(|(name, value)| (name, value as u32))
            .to_vec()
    }
}

/// Products that ask for the same tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProductClass {
    FewRows,
    FewColumns,
    Small,
    Medium,
    Large,
}

impl ProductClass {
    pub const ALL: [ProductClass; 5] = [
        ProductClass::FewRows,
        ProductClass::FewColumns,
        ProductClass::Small,
        ProductClass::Medium,
        ProductClass::Large,
    ];

    /// The class of a product of this many rows and columns.
    pub fn of(rows: usize, columns: usize) -> Self {
        let groups = |tile: Tile| tile.groups(rows, columns).iter().product::<usize>();
        if rows <= FLAT.rows() {
            ProductClass::FewRows
        } else if columns <= NARROW.columns() {
            ProductClass::FewColumns
        } else if groups(LARGE) >= 4 * WANTED_GROUPS {
            ProductClass::Large
        } else if groups(MEDIUM) >= WANTED_GROUPS {
            ProductClass::Medium
        } else {
            ProductClass::Small
        }
    }

    /// The tile that is taken where nothing was measured. Larger tiles read less; smaller ones make more workgroups.
    pub fn usual(self) -> Tile {
        match self {
            ProductClass::FewRows => FLAT,
            ProductClass::FewColumns => NARROW,
            ProductClass::Small => SMALL,
            ProductClass::Medium => MEDIUM,
            ProductClass::Large => LARGE,
        }
    }

    /// Rows, columns and inner axis of the product that represents the class when tiles are measured: as Stable
    /// Diffusion 1.5 has them, or smaller where that would take memory.
    pub fn example(self) -> [usize; 3] {
        match self {
            ProductClass::FewRows => [4, 1280, 1280],
            ProductClass::FewColumns => [4096, 4, 320],
            ProductClass::Small => [77, 768, 768],
            ProductClass::Medium => [1024, 640, 640],
            ProductClass::Large => [4096, 640, 320],
        }
    }

    /// What people and files call it.
    pub fn name(self) -> &'static str {
        match self {
            ProductClass::FewRows => "few rows",
            ProductClass::FewColumns => "few columns",
            ProductClass::Small => "small",
            ProductClass::Medium => "medium",
            ProductClass::Large => "large",
        }
    }
}

/// The tile for each class of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles([Tile; ProductClass::ALL.len()]);

impl Default for Tiles {
    /// The default sizes: rules of thumb.
    fn default() -> Self {
        Self(ProductClass::ALL.map(ProductClass::usual))
    }
}

impl Tiles {
    /// The tiles in the order of the classes.
    pub(super) fn new(tiles: [Tile; ProductClass::ALL.len()]) -> Self {
        Self(tiles)
    }

    /// Each tile that there is for all products, with its name: whichever is chosen, results differ by rounding alone.
    pub fn each() -> Vec<(String, Self)> {
        Tile::ALL.iter().map(|tile| (tile.name(), Self([*tile; ProductClass::ALL.len()]))).collect()
    }

    /// Reads the names that [`Tiles::names`] gives; none if a class has none or there is no such tile.
    pub fn from_names(name: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let named = |class: &ProductClass| {
            let name = name(class.name())?;
            Tile::ALL.into_iter().find(|tile| tile.name() == name)
        };
        let tiles: Vec<Tile> = ProductClass::ALL.iter().map(named).collect::<Option<_>>()?;
        tiles.try_into().ok().map(Self)
    }

    /// The class and its tile, by their names.
    pub fn names(&self) -> Vec<(&'static str, String)> {
        ProductClass::ALL.iter().zip(self.0).map(|(class, tile)| (class.name(), tile.name())).collect()
    }

    /// The same in one line, for people.
    pub fn summary(&self) -> String {
        self.names().iter().map(|(class, tile)| format!("{class} {tile}")).collect::<Vec<_>>().join(", ")
    }

    /// The tile for a product of this many rows and columns.
    pub(super) fn pick(&self, rows: usize, columns: usize) -> Tile {
        let class = ProductClass::of(rows, columns);
        let tile = self.0[class as usize];
        // What is small for the class may be more workgroups than a launch can have.
        let fits = tile.groups(rows, columns).iter().all(|groups| *groups <= MOST_GROUPS as usize);
        if fits { tile } else { class.usual() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_of_its_class() {
        for class in ProductClass::ALL {
            let [rows, columns, inner] = class.example();
            assert_eq!(ProductClass::of(rows, columns), class);
            // In fours, so that all of them are read with the same kernels.
            assert!(columns % 4 == 0 && inner % 4 == 0, "{class:?}");
            assert_eq!(Tiles::default().pick(rows, columns), class.usual());
        }
    }

    #[test]
    fn tiles_are_read_by_the_names_that_they_are_written_with() {
        let mixed = Tiles([FLAT, SMALL, MEDIUM, LARGE, NARROW]);
        for tiles in [Tiles::default(), mixed] {
            let names = tiles.names();
            let name = |class: &str| names.iter().find(|(name, _)| *name == class).map(|(_, tile)| tile.clone());
            assert_eq!(Tiles::from_names(name), Some(tiles));
            assert_eq!(Tiles::from_names(|class| name(class).filter(|_| class != "small")), None, "a class is missing");
            assert_eq!(Tiles::from_names(|_| Some("7x7".to_owned())), None, "there is no such tile");
        }
    }

    #[test]
    fn a_tile_of_which_a_launch_cannot_have_enough_is_not_taken() {
        let flat = Tiles([FLAT; 5]);
        assert_eq!(flat.pick(1 << 19, 640), FLAT);
        // A million pixels, 16 rows to a workgroup.
        assert_eq!(flat.pick(1 << 20, 640), LARGE);
    }

    #[test]
    fn every_tile_fits_its_kernel() {
        for tile in Tile::ALL {
            // Each invocation fills at most one block of the left strip.
            assert!(tile.rows() / 4 * tile.depth / 4 <= tile.down * tile.across, "{tile:?}");
            assert!(tile.lanes() <= 256, "{tile:?}");
            let strips = tile.depth * (tile.rows() / 4 + 1 + tile.columns() / 4 + 1) * 16;
            assert!(strips <= 16384, "{tile:?}: {strips} bytes of workgroup memory");
        }
    }
}
