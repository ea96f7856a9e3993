//! What is known of devices: which are software GPUs, and how products are made on each.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use burn::tensor::{Device, Tensor};

use super::tile::{ProductBlock, ProductMethod};
use super::{HalfMethod, Tiles, primitive};
use crate::base::with_value::with_value;
use crate::ops::Backend;

/// A GPU that is a program on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftwareGpu {
    /// Mesa's lavapipe.
    Lavapipe,
    /// Any other, such as SwiftShader, which browsers bring along.
    Other,
}

impl SoftwareGpu {
    pub(super) const ALL: [Self; 2] = [SoftwareGpu::Lavapipe, SoftwareGpu::Other];

    /// Invocations that it computes at a time. It changes from some to the next at each barrier, which takes longer than what they
    /// compute between two: a workgroup with barriers should have no more than these.
    pub(super) fn width(self) -> u32 {
        match self {
            SoftwareGpu::Lavapipe => 8,
            SoftwareGpu::Other => 4,
        }
    }
}

/// What is known of a device.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Whether it runs our kernels.
    runs_kernels: bool,
    /// Which software GPU it is, if it is one.
    software: Option<SoftwareGpu>,
    /// The tiles that were chosen for it, or the default sizes.
    tiles: Tiles,
    /// How products in f16 are made on it, if they are.
    half_products: Option<HalfMethod>,
}

/// What was noted of devices.
static NOTED: RwLock<Vec<(Device, Facts)>> = RwLock::new(Vec::new());

/// How often something was noted.
static CHANGES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The device that was asked about last, and what was known of it after so many changes: each launch asks several times,
    /// always about the same.
    static LAST: RefCell<Option<(Device, u64, Facts)>> = const { RefCell::new(None) };
}

/// What is known of the tensor's device.
fn facts<const D: usize>(tensor: &Tensor<D>) -> Facts {
    let (device, changes) = (tensor.device(), CHANGES.load(Ordering::Acquire));
    LAST.with_borrow_mut(|last| match last {
        Some((known, then, facts)) if *then == changes && *known == device => *facts,
        _ => {
            let facts = noted(&device);
            *last = Some((device, changes, facts));
            facts
        }
    })
}

fn noted(device: &Device) -> Facts {
    let noted = NOTED.read().unwrap_or_else(PoisonError::into_inner);
    let found = noted.iter().find(|(known, _)| known == device).map(|(_, facts)| *facts);
    found.unwrap_or_else(|| Facts {
        runs_kernels: primitive(&Tensor::<1>::zeros([1], device)).is_some(),
        software: None,
        tiles: Tiles::default(),
        half_products: None,
    })
}

/// Notes something of a device that runs our kernels.
fn note(device: &Device, change: impl FnOnce(&mut Facts)) {
    let before = noted(device);
    if !before.runs_kernels {
        return;
    }
    let mut noted = NOTED.write().unwrap_or_else(PoisonError::into_inner);
    // Another thread may have noted something in the meantime.
    match noted.iter_mut().find(|(known, _)| known == device) {
        Some((_, facts)) => change(facts),
        None => {
            let mut facts = before;
            change(&mut facts);
            noted.push((device.clone(), facts));
        }
    }
    drop(noted);
    CHANGES.fetch_add(1, Ordering::Release);
}

/// Whether the tensor's device runs our kernels.
pub(super) fn runs_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    facts(tensor).runs_kernels
}

/// How products are made for a while, on any device.
#[derive(Debug, Clone, Copy, Default)]
struct MethodOverride {
    /// In f16, and perhaps in the tiles of this number alone.
    half: Option<(HalfMethod, Option<usize>)>,
    /// In the blocks that suit this software GPU, else in tiles.
    blocks: Option<SoftwareGpu>,
    /// Other tiles than those that were chosen for the device.
    tiles: Option<Tiles>,
}

thread_local! {
    /// How products are made inside of [`with_blocks`], [`with_tiles`] and [`with_half_products`].
    static OVERRIDE: Cell<Option<MethodOverride>> = const { Cell::new(None) };
}

/// Notes that a device is a software GPU: its tensors do not know.
pub(crate) fn mark_software(device: &Device, software: SoftwareGpu) {
    note(device, |facts| facts.software = Some(software));
}

/// Runs `work` with products and attention made in the blocks that suit a software GPU, or in tiles, on any device: attention
/// with wide heads, too, however few scores it has.
pub fn with_blocks<R>(software: Option<SoftwareGpu>, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { blocks: software, ..MethodOverride::default() }, work)
}

/// Runs `work` with products made in these tiles.
pub fn with_tiles<R>(tiles: Tiles, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { tiles: Some(tiles), ..MethodOverride::default() }, work)
}

/// Runs `work` with products made in f16 in this way, where they can be. With the number of a tile (0 for large products,
/// 2 for small ones) all of them are made in tiles of that size, however few rows or columns they have.
pub fn with_half_products<R>(products: impl Into<HalfMethod>, tile: Option<usize>, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { half: Some((products.into(), tile)), ..MethodOverride::default() }, work)
}

fn overriding<R>(method: MethodOverride, work: impl FnOnce() -> R) -> R {
    with_value(&OVERRIDE, Some(method), work)
}

/// The software GPU in whose blocks products and attention on the tensor's device are made, if they are made in blocks.
pub(super) fn makes_blocks<const D: usize>(tensor: &Tensor<D>) -> Option<SoftwareGpu> {
    match OVERRIDE.get() {
        Some(method) => method.blocks,
        None => facts(tensor).software,
    }
}

/// Whether blocks are made because [`with_blocks`] says so, even where something else were faster.
pub(super) fn insists_on_blocks() -> bool {
    OVERRIDE.get().is_some_and(|method| method.blocks.is_some())
}

/// How a product of this many rows and columns is made on the tensor's device.
pub(super) fn method<const D: usize>(tensor: &Tensor<D>, rows: usize, columns: usize) -> ProductMethod {
    method_of(tensor, rows, columns, false)
}

/// The same of a convolution.
pub(super) fn window_method<const D: usize>(tensor: &Tensor<D>, rows: usize, columns: usize) -> ProductMethod {
    method_of(tensor, rows, columns, true)
}

fn method_of<const D: usize>(tensor: &Tensor<D>, rows: usize, columns: usize, has_windows: bool) -> ProductMethod {
    if let Some(software) = makes_blocks(tensor) {
        return ProductMethod::Blocks(ProductBlock::of(software, has_windows));
    }
    let tiles = OVERRIDE.get().and_then(|method| method.tiles).unwrap_or_else(|| facts(tensor).tiles);
    ProductMethod::Tile(tiles.pick(rows, columns))
}

/// From now on products on this device are made in these tiles, where they are made in tiles.
pub fn choose_tiles(device: &Device, tiles: Tiles) {
    note(device, |facts| facts.tiles = tiles);
}

/// The tiles that products on this device are made in; none where they are made otherwise.
pub fn tiles(device: &Device) -> Option<Tiles> {
    let tensor = Tensor::<1>::zeros([1], device);
    (Backend::of(&tensor) == Backend::Wgpu && makes_blocks(&tensor).is_none()).then(|| facts(&tensor).tiles)
}

/// How products in f16 are made on the tensor's device, if they are, and the only tile for them.
pub(super) fn half_products<const D: usize>(tensor: &Tensor<D>) -> Option<(HalfMethod, Option<usize>)> {
    match OVERRIDE.get() {
        Some(method) => method.half,
        None => facts(tensor).half_products.map(|products| (products, None)),
    }
}

/// From now on products on this device are made in f16, or all of them in f32.
pub fn choose_half_products(device: &Device, products: Option<HalfMethod>) {
    note(device, |facts| facts.half_products = products);
}

/// How products in f16 are made on this device; none where all are made in f32.
pub fn half_products_of(device: &Device) -> Option<HalfMethod> {
    let tensor = Tensor::<1>::zeros([1], device);
    if Backend::of(&tensor) != Backend::Wgpu {
        return None;
    }
    half_products(&tensor).map(|(products, _)| products)
}
