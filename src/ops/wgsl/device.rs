//! What is known of devices: which are software GPUs, and how products are made on each.

use std::cell::Cell;
use std::sync::{PoisonError, RwLock};

use burn::tensor::{Device, Tensor};

use super::tile::{ProductBlock, ProductMethod};
use super::{HalfProducts, Tiles, primitive};
use crate::ops::Backend;

/// A GPU that is a program on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftwareGpu {
    /// Mesa's lavapipe.
    Lavapipe,
    /// Any other, such as SwiftShader, which browsers bring along.
    Other,
}

/// The devices that are software GPUs.
static SOFTWARE_GPUS: RwLock<Vec<(cubecl::Device, SoftwareGpu)>> = RwLock::new(Vec::new());

/// The tiles that were chosen for a device; the default sizes serve the others.
static CHOSEN: RwLock<Vec<(cubecl::Device, Tiles)>> = RwLock::new(Vec::new());

/// How products in f16 are made on devices where they are.
static HALF_PRODUCTS: RwLock<Vec<(cubecl::Device, HalfProducts)>> = RwLock::new(Vec::new());

/// How products are made for a while, on any device.
#[derive(Debug, Clone, Copy, Default)]
struct MethodOverride {
    /// In f16, and perhaps in the tiles of this number alone.
    half: Option<(HalfProducts, Option<usize>)>,
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
    let Some(tensor) = primitive(&Tensor::<1>::zeros([1], device)) else { return };
    let mut marked = SOFTWARE_GPUS.write().unwrap_or_else(PoisonError::into_inner);
    marked.retain(|(device, _)| *device != tensor.device);
    marked.push((tensor.device, software));
}

/// Runs `work` with products and attention made in the blocks that suit a software GPU, or in tiles, on any device.
pub fn with_blocks<R>(software: Option<SoftwareGpu>, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { blocks: software, ..MethodOverride::default() }, work)
}

/// Runs `work` with products made in these tiles.
pub fn with_tiles<R>(tiles: Tiles, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { tiles: Some(tiles), ..MethodOverride::default() }, work)
}

/// Runs `work` with products made in f16 in this way, where they can be. With the number of a tile (0 for large products,
/// 2 for small ones) all of them are made in tiles of that size, however few rows or columns they have.
pub fn with_half_products<R>(products: HalfProducts, tile: Option<usize>, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { half: Some((products, tile)), ..MethodOverride::default() }, work)
}

fn overriding<R>(method: MethodOverride, work: impl FnOnce() -> R) -> R {
    let outer = OVERRIDE.replace(Some(method));
    let result = work();
    OVERRIDE.set(outer);
    result
}

/// The software GPU in whose blocks products and attention on the tensor's device are made, if they are made in blocks.
pub(super) fn makes_blocks<const D: usize>(tensor: &Tensor<D>) -> Option<SoftwareGpu> {
    match OVERRIDE.get() {
        Some(method) => method.blocks,
        None => software_gpu(tensor),
    }
}

/// How a product of this many rows and columns is made on the tensor's device.
pub(super) fn method<const D: usize>(tensor: &Tensor<D>, rows: usize, columns: usize) -> ProductMethod {
    if let Some(software) = makes_blocks(tensor) {
        return ProductMethod::Blocks(ProductBlock::of(software));
    }
    let tiles = OVERRIDE.get().and_then(|method| method.tiles).unwrap_or_else(|| chosen(tensor));
    ProductMethod::Tile(tiles.pick(rows, columns))
}

fn chosen<const D: usize>(tensor: &Tensor<D>) -> Tiles {
    let Some(tensor) = primitive(tensor) else { return Tiles::default() };
    let chosen = CHOSEN.read().unwrap_or_else(PoisonError::into_inner);
    chosen.iter().find(|(device, _)| *device == tensor.device).map_or_else(Tiles::default, |(_, tiles)| *tiles)
}

/// From now on products on this device are made in these tiles, where they are made in tiles.
pub fn choose_tiles(device: &Device, tiles: Tiles) {
    let Some(tensor) = primitive(&Tensor::<1>::zeros([1], device)) else { return };
    let mut chosen = CHOSEN.write().unwrap_or_else(PoisonError::into_inner);
    chosen.retain(|(device, _)| *device != tensor.device);
    chosen.push((tensor.device, tiles));
}

/// The tiles that products on this device are made in; none where they are made otherwise.
pub fn tiles(device: &Device) -> Option<Tiles> {
    let tensor = Tensor::<1>::zeros([1], device);
    (Backend::of(&tensor) == Backend::Wgpu && makes_blocks(&tensor).is_none()).then(|| chosen(&tensor))
}

/// How products in f16 are made on the tensor's device, if they are, and the only tile for them.
pub(super) fn half_products<const D: usize>(tensor: &Tensor<D>) -> Option<(HalfProducts, Option<usize>)> {
    match OVERRIDE.get() {
        Some(method) => method.half,
        None => {
            let tensor = primitive(tensor)?;
            let chosen = HALF_PRODUCTS.read().unwrap_or_else(PoisonError::into_inner);
            chosen.iter().find(|(device, _)| *device == tensor.device).map(|(_, products)| (*products, None))
        }
    }
}

/// From now on products on this device are made in f16, or all of them in f32.
pub fn choose_half_products(device: &Device, products: Option<HalfProducts>) {
    let Some(tensor) = primitive(&Tensor::<1>::zeros([1], device)) else { return };
    let mut chosen = HALF_PRODUCTS.write().unwrap_or_else(PoisonError::into_inner);
    chosen.retain(|(device, _)| *device != tensor.device);
    chosen.extend(products.map(|products| (tensor.device, products)));
}

/// How products in f16 are made on this device; none where all are made in f32.
pub fn half_products_of(device: &Device) -> Option<HalfProducts> {
    let tensor = Tensor::<1>::zeros([1], device);
    if Backend::of(&tensor) != Backend::Wgpu {
        return None;
    }
    half_products(&tensor).map(|(products, _)| products)
}

/// Which software GPU the tensor's device is, if it is one.
pub(super) fn software_gpu<const D: usize>(tensor: &Tensor<D>) -> Option<SoftwareGpu> {
    let tensor = primitive(tensor)?;
    let marked = SOFTWARE_GPUS.read().unwrap_or_else(PoisonError::into_inner);
    marked.iter().find(|(device, _)| *device == tensor.device).map(|(_, software)| *software)
}
