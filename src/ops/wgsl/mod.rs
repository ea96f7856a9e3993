//! The kernels in `shaders/`, launched on a wgpu device.
//!
//! A kernel's text is put together when it is first needed: a piece for each of its buffers (by how the buffer's values are
//! stored), pieces that kernels share, and its own. Numbers that shape the code are filled in; sizes of tensors come in a
//! uniform buffer, so that one compiled kernel serves every layer.

mod activation;
mod attention;
mod conv2d;
mod linear;
mod norm;
pub mod submission;
mod tile;
mod tune;
mod widen;

use std::cell::Cell;
use std::sync::{PoisonError, RwLock};

use burn::tensor::{DType, Device, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous};
use cubecl::prelude::{CubeCount, KernelId};
use cubecl::server::{KernelArguments, MetadataBindingInfo};
use cubecl::wgpu::WgpuDeviceKind;

pub(super) use activation::{geglu, geglu_backward};
pub(super) use attention::Attention;
pub(super) use conv2d::{conv2d, conv2d_backward};
pub(super) use linear::{linear, linear_backward};
pub(super) use norm::{GroupNorm, layer_norm, layer_norm_backward};
pub use tile::Tiles;
use tile::{Block, Method};
pub use tune::{Measured, measure_tiles, product_kernels};
pub(super) use widen::widen;

/// Most workgroups along one axis of a launch, on every WebGPU device.
const MOST_GROUPS: u32 = 65535;

/// Whether the tensor is f32 on a device that runs our kernels.
pub(super) fn is_wgpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && primitive(tensor).is_some()
}

fn primitive<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    tensor.clone().try_into_primitive::<CubeBackend>().ok()
}

/// How many workgroups fill a GPU. None tells how many multiprocessors it has: a guess that no measurement stands behind yet.
const WANTED_GROUPS: usize = 64;

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

/// The tiles that were chosen for a device; rules of thumb serve the others.
static CHOSEN: RwLock<Vec<(cubecl::Device, Tiles)>> = RwLock::new(Vec::new());

/// How products are made for a while, whatever the device is.
#[derive(Debug, Clone, Copy)]
struct MethodOverride {
    /// In the blocks that suit this software GPU, else in tiles.
    blocks: Option<SoftwareGpu>,
    /// Other tiles than those that were chosen for the device.
    tiles: Option<Tiles>,
}

thread_local! {
    /// How products are made inside of [`with_blocks`] and [`with_tiles`].
    static OVERRIDE: Cell<Option<MethodOverride>> = const { Cell::new(None) };
}

/// Notes that a device is a software GPU: its tensors do not know.
pub(crate) fn mark_software(device: &Device, software: SoftwareGpu) {
    let Some(tensor) = primitive(&Tensor::<1>::zeros([1], device)) else { return };
    let mut marked = SOFTWARE_GPUS.write().unwrap_or_else(PoisonError::into_inner);
    marked.retain(|(device, _)| *device != tensor.device);
    marked.push((tensor.device, software));
}

/// Runs `work` with products made in the blocks that suit a software GPU, or in tiles, whatever the device is.
pub fn with_blocks<R>(software: Option<SoftwareGpu>, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { blocks: software, tiles: None }, work)
}

/// Runs `work` with products made in these tiles.
pub fn with_tiles<R>(tiles: Tiles, work: impl FnOnce() -> R) -> R {
    overriding(MethodOverride { blocks: None, tiles: Some(tiles) }, work)
}

fn overriding<R>(method: MethodOverride, work: impl FnOnce() -> R) -> R {
    let outer = OVERRIDE.replace(Some(method));
    let result = work();
    OVERRIDE.set(outer);
    result
}

/// The software GPU in whose blocks products on the tensor's device are made, if they are made in blocks.
fn makes_blocks<const D: usize>(tensor: &Tensor<D>) -> Option<SoftwareGpu> {
    match OVERRIDE.get() {
        Some(method) => method.blocks,
        None => software_gpu(tensor),
    }
}

/// How a product of this many rows and columns is made.
fn method<const D: usize>(tensor: &Tensor<D>, rows: usize, columns: usize) -> Method {
    if let Some(software) = makes_blocks(tensor) {
        return Method::Blocks(Block::of(software));
    }
    let tiles = OVERRIDE.get().and_then(|method| method.tiles).unwrap_or_else(|| chosen(tensor));
    Method::Tile(tiles.pick(rows, columns))
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
    (super::on_wgpu(&tensor) && makes_blocks(&tensor).is_none()).then(|| chosen(&tensor))
}

/// Which software GPU the tensor's device is, if it is one.
fn software_gpu<const D: usize>(tensor: &Tensor<D>) -> Option<SoftwareGpu> {
    let tensor = primitive(tensor)?;
    let marked = SOFTWARE_GPUS.read().unwrap_or_else(PoisonError::into_inner);
    marked.iter().find(|(device, _)| *device == tensor.device).map(|(_, software)| *software)
}

/// How a buffer's values are stored, which decides how a kernel reads or writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// There is no such buffer.
    None,
    F32x4,
    F32x1,
    F16x4,
    F16x1,
}

impl Format {
    /// The format of values of which always a multiple of `row` are used together: four at a time where that divides.
    fn of(dtype: DType, row: usize) -> Self {
        match (dtype, row % 4) {
            (DType::F16, 0) => Format::F16x4,
            (DType::F16, _) => Format::F16x1,
            (_, 0) => Format::F32x4,
            _ => Format::F32x1,
        }
    }

    fn reader(self) -> &'static str {
        match self {
            Format::None => include_str!("../../../shaders/shared/read_none.wgsl"),
            Format::F32x4 => include_str!("../../../shaders/shared/read_f32x4.wgsl"),
            Format::F32x1 => include_str!("../../../shaders/shared/read_f32x1.wgsl"),
            Format::F16x4 => include_str!("../../../shaders/shared/read_f16x4.wgsl"),
            Format::F16x1 => include_str!("../../../shaders/shared/read_f16x1.wgsl"),
        }
    }

    /// Results are always f32.
    fn writer(self) -> &'static str {
        match self {
            Format::F32x4 | Format::F16x4 => include_str!("../../../shaders/shared/write_f32x4.wgsl"),
            _ => include_str!("../../../shaders/shared/write_f32x1.wgsl"),
        }
    }
}

/// A kernel's text, in pieces.
#[derive(Debug, Clone)]
struct Kernel {
    name: &'static str,
    /// Pieces of text, the kernel's own last.
    pieces: &'static [&'static str],
    /// What each buffer is called and how it is stored, in the order of the bindings; results last.
    buffers: Vec<(&'static str, Format)>,
    results: usize,
    numbers: Vec<(&'static str, u32)>,
}

impl Kernel {
    fn new(name: &'static str, pieces: &'static [&'static str], numbers: Vec<(&'static str, u32)>) -> Self {
        Self { name, pieces, buffers: Vec::new(), results: 0, numbers }
    }

    /// What the buffers are called and how they are stored, with those of the results last.
    fn with_buffers(mut self, inputs: &[(&'static str, Format)], results: &[(&'static str, Format)]) -> Self {
        self.buffers = [inputs, results].concat();
        self.results = results.len();
        self
    }

    /// The whole text.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut binding = 0;
        for (i, (name, format)) in self.buffers.iter().enumerate() {
            let is_result = i + self.results >= self.buffers.len();
            let piece = if is_result { format.writer() } else { format.reader() };
            text += &piece.replace("{{ name }}", name).replace("{{ binding }}", &binding.to_string());
            binding += u32::from(*format != Format::None);
        }
        text += &self.pieces.concat();
        text = text.replace("{{ sizes }}", &binding.to_string());
        for (one, all) in [("{{ row }}", "rows"), ("{{ quad }}", "quads")] {
            if let Some((_, times)) = self.numbers.iter().find(|(name, _)| *name == all) {
                text = repeated(&text, one, *times);
            }
        }
        self.numbers
            .iter()
            .fold(text, |text, (key, value)| text.replace(&format!("{{{{ {key} }}}}"), &value.to_string()))
    }
}

/// The text with each line that has `one` in it once for each number below `times`.
fn repeated(text: &str, one: &str, times: u32) -> String {
    let mut repeated = String::with_capacity(2 * text.len());
    for line in text.lines() {
        let times = if line.contains(one) { times } else { 1 };
        for number in 0..times {
            repeated += &line.replace(one, &number.to_string());
            repeated.push('\n');
        }
    }
    repeated
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.text())
    }

    fn id(&self) -> KernelId {
        // The pieces follow from the name.
        KernelId::new::<Self>().info(format!("{} {:?} {:?}", self.name, self.buffers, self.numbers))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// A tensor that a kernel reads, of any rank.
trait Input {
    fn contiguous(&self) -> CubeTensor;
    fn dtype(&self) -> DType;
}

impl<const D: usize> Input for Tensor<D> {
    fn contiguous(&self) -> CubeTensor {
        into_contiguous(primitive(self).expect("the caller checked the device"))
    }

    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }
}

/// What a launch is made of: names and tensors of the inputs (with the length of the rows that are read), the sizes for the
/// uniform buffer, and the workgroups.
struct Launch<'a> {
    name: &'static str,
    pieces: &'static [&'static str],
    numbers: Vec<(&'static str, u32)>,
    inputs: &'a [(&'static str, Option<&'a dyn Input>, usize)],
    sizes: &'a [usize],
    /// Floating-point operations of the whole; less than the true number, such as 0, where moving its values takes longer.
    operations: u64,
    /// How it may be cut into several launches, if it may become too much for one.
    cut: Option<Cut>,
    groups: [usize; 3],
    lanes: u32,
}

/// How a launch is cut: along an axis of its workgroups, and the place among its sizes of how many come before a piece.
#[derive(Clone, Copy)]
struct Cut {
    axis: usize,
    first: usize,
}

/// Floating-point operations of a product with these axes.
pub(super) fn operations(axes: &[usize]) -> u64 {
    axes.iter().fold(2, |product: u64, axis| product.saturating_mul(*axis as u64))
}

impl Launch<'_> {
    /// Runs the kernel; its result is called `result`, has this shape, and is written in rows of its last axis.
    fn run<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        self.run_in_rows(shape, shape[D - 1])
    }

    /// The same for a result that is written in shorter rows.
    fn run_in_rows<const D: usize>(self, shape: [usize; D], row: usize) -> Tensor<D> {
        let [result] = self.run_for([("result", &shape, row)]);
        Tensor::from_primitive::<CubeBackend>(result)
    }

    /// Runs the kernel for several results: their names, shapes, and the rows in which they are written.
    fn run_for<const R: usize>(self, results: [(&'static str, &[usize], usize); R]) -> [CubeTensor; R] {
        let format = |(name, input, row): &(&'static str, Option<&dyn Input>, usize)| {
            (*name, input.map_or(Format::None, |input| Format::of(input.dtype(), *row)))
        };
        let formats: Vec<_> = self.inputs.iter().map(format).collect();
        let kernel = Kernel::new(self.name, self.pieces, self.numbers.clone())
            .with_buffers(&formats, &results.map(|(name, _, row)| (name, Format::of(DType::F32, row))));
        let mut inputs: Vec<CubeTensor> = Vec::new();
        for (_, input, _) in self.inputs {
            if let Some(input) = input.map(Input::contiguous) {
                // Browsers bind no place twice.
                let bound = inputs.iter().any(|other| overlap(other, &input));
                inputs.push(if bound { input.copy() } else { input });
            }
        }
        let (client, device) = (inputs[0].client.clone(), inputs[0].device.clone());
        let outputs = results.map(|(_, shape, _)| {
            let handle = client.empty(shape.iter().product::<usize>() * size_of::<f32>());
            CubeTensor::new_contiguous(client.clone(), device.clone(), Shape::from(shape), handle, DType::F32)
        });
        let tensors: Vec<&CubeTensor> = inputs.iter().chain(&outputs).collect();
        debug_assert!(
            self.groups.iter().all(|groups| (1..=MOST_GROUPS as usize).contains(groups)),
            "{}: {:?}",
            self.name,
            self.groups
        );
        let mut sizes = self.sizes.to_vec();
        for (first, groups, begins) in self.pieces(is_watched(&device), bytes(&tensors)) {
            if begins {
                // What it reports comes out at the next reading.
                let _later = client.flush();
            }
            if let Some(cut) = self.cut {
                sizes[cut.first] = first;
            }
            let buffers = tensors.iter().map(|tensor| tensor.handle.clone().binding()).collect();
            client.launch(
                Box::new(SourceKernel::new(kernel.clone(), CubeDim::new_1d(self.lanes))),
                CubeCount::Static(groups[0] as u32, groups[1] as u32, groups[2] as u32),
                KernelArguments::new().with_buffers(buffers).with_info(MetadataBindingInfo::custom(words(&sizes))),
            );
        }
        outputs
    }

    /// The launches that it takes: how many workgroups come before each, its workgroups, and whether what was launched before
    /// is submitted first. One, unless the work is too much for one submission ([`submission`]).
    fn pieces(&self, watched: bool, bytes: u64) -> Vec<(usize, [usize; 3], bool)> {
        let Some(budget) = submission::budget(watched) else {
            return vec![(0, self.groups, false)];
        };
        let work = submission::work(self.operations, bytes);
        let axis = self.cut.map_or(1, |cut| cut.axis);
        let parts = if self.cut.is_some() { self.groups[axis] } else { 1 };
        let mut first = 0;
        let piece = |count: usize| {
            let mut groups = self.groups;
            if self.cut.is_some() {
                groups[axis] = count;
            }
            let share = u128::from(work) * count as u128 / parts as u128;
            let begins = submission::count(self.name, groups, share as u64);
            first += count;
            (first - count, groups, begins)
        };
        submission::shares(work, parts, budget).into_iter().map(piece).collect()
    }
}

/// Whether a device is taken away if a submission takes too long. A software GPU is not.
fn is_watched(device: &cubecl::Device) -> bool {
    !matches!(device, cubecl::Device::Wgpu(device) if device.kind == WgpuDeviceKind::Cpu)
}

/// Before work on a wgpu device that is left to Burn: submits what was launched so far, where the two would be too much for one
/// submission.
pub(super) fn before<const D: usize>(tensor: &Tensor<D>, what: &'static str, operations: u64) {
    if let Some(tensor) = primitive(tensor)
        && submission::budget(is_watched(&tensor.device)).is_some()
        && submission::count(what, [1; 3], operations)
    {
        // What it reports comes out at the next reading.
        let _later = tensor.client.flush();
    }
}

/// How many of `parts` parts of such work a submission takes.
pub(super) fn at_once<const D: usize>(tensor: &Tensor<D>, operations: u64, parts: usize) -> usize {
    let budget = primitive(tensor).and_then(|tensor| submission::budget(is_watched(&tensor.device)));
    budget.map_or(parts, |budget| submission::shares(operations, parts, budget).into_iter().max().unwrap_or(parts))
}

/// Whether two tensors have values in the same place.
fn overlap(a: &CubeTensor, b: &CubeTensor) -> bool {
    let place = |tensor: &CubeTensor| {
        let start = tensor.handle.offset_start.unwrap_or(0);
        (tensor.handle.memory.clone().binding().id(), start..start + tensor.handle.size_in_used())
    };
    let ((a, here), (b, there)) = (place(a), place(b));
    a == b && here.start < there.end && there.start < here.end
}

/// What the tensors take together.
fn bytes(tensors: &[&CubeTensor]) -> u64 {
    tensors.iter().map(|tensor| tensor.handle.size_in_used()).sum()
}

/// Sizes as the uniform buffer has them: 32 bits each, filled up to a multiple of four of them.
fn words(sizes: &[usize]) -> Vec<u64> {
    let mut sizes: Vec<u64> = sizes.iter().map(|size| *size as u64).collect();
    sizes.resize(sizes.len().next_multiple_of(4), 0);
    sizes.chunks_exact(2).map(|pair| pair[0] | pair[1] << 32).collect()
}

/// The text of every kernel in every form in which it may be launched, with its name: for validation where there is no GPU.
pub fn texts() -> Vec<(&'static str, String)> {
    let forms =
        [linear::forms(), conv2d::forms(), attention::forms(), norm::forms(), activation::forms(), widen::forms()]
            .concat();
    forms.iter().map(|kernel| (kernel.name, kernel.text())).collect()
}

/// The ways in which a factor of a product may be stored.
const FACTOR_FORMATS: [Format; 4] = [Format::F32x4, Format::F32x1, Format::F16x4, Format::F16x1];
/// The ways in which an activation may be stored.
const ACTIVATION_FORMATS: [Format; 2] = [Format::F32x4, Format::F32x1];

/// The ways in which a bias and a residual may be stored that are added to a product of these.
fn added(weight: Format, activation: Format) -> Vec<(Format, Format)> {
    let biases = [Format::None, weight];
    biases.into_iter().flat_map(|bias| [(bias, Format::None), (bias, activation)]).collect()
}
