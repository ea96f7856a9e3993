//! Launching kernels on a wgpu device.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Int, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor, into_contiguous};
use cubecl::ir::attributes::BufferIOAttr;
use cubecl::prelude::CubeCount;
use cubecl::server::{Handle, KernelArguments, KernelResource, MetadataBindingInfo};
use cubecl::wgpu::WgpuDeviceKind;

use super::kernel::{FormSource, Kernel, LaunchedForm, Variant};
use super::uniform::{UniformSizes, words};
use super::{MOST_GROUPS, primitive, spare, submission};
use crate::ops::Weight;
#[cfg(feature = "native")]
use crate::ops::launches;
use crate::ops::weight::FrozenTensor;

/// Something that a kernel reads, of any rank.
pub(super) trait Operand {
    /// The values and, of a quantised weight, their scales: what is bound for it, in this order.
    fn tensors(&self) -> [Option<CubeTensor>; 2];

    /// How the values are stored.
    fn dtype(&self) -> DType;
}

impl<const D: usize> Operand for Tensor<D> {
    fn tensors(&self) -> [Option<CubeTensor>; 2] {
        [Some(contiguous(self)), None]
    }

    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }
}

impl<const D: usize> Operand for Weight<D> {
    fn tensors(&self) -> [Option<CubeTensor>; 2] {
        frozen(self).expect("the caller checked the device").map(|tensor| tensor.map(into_contiguous))
    }

    fn dtype(&self) -> DType {
        Weight::dtype(self)
    }
}

/// The values of a weight and, where they are quantised, their scales; none if they are not on a wgpu device.
pub(super) fn frozen<const D: usize>(weight: &Weight<D>) -> Option<[Option<CubeTensor>; 2]> {
    Some(match weight.stored() {
        FrozenTensor::Floats(values) => [Some(primitive(values)?), None],
        FrozenTensor::Quantised(quantised) => {
            let values = quantised.values.clone().try_into_primitive::<CubeBackend>().ok()?;
            [Some(values), Some(primitive(&quantised.scales)?)]
        }
    })
}

fn contiguous<const D: usize>(tensor: &Tensor<D>) -> CubeTensor {
    into_contiguous(primitive(tensor).expect("the caller checked the device"))
}

/// A launch of a kernel: one dispatch or, where that would be too much for one submission, several.
pub(super) struct Launch {
    form: Arc<LaunchedForm>,
    /// The first input: results lie on its device.
    near: CubeTensor,
    /// What is bound, in the order of the bindings.
    inputs: Vec<Handle>,
    /// The uniform buffer.
    sizes: Vec<u32>,
    groups: [usize; 3],
    operations: u64,
    cut: Option<Cut>,
}

/// How a launch is cut into dispatches.
#[derive(Clone, Copy)]
struct Cut {
    /// The axis of the workgroups.
    axis: usize,
    /// Where the sizes have the number of workgroups before the dispatch's own, in bytes.
    first_group: usize,
}

/// Floating-point operations of a product with these axes.
pub(in crate::ops) fn operations(axes: &[usize]) -> u64 {
    axes.iter().fold(2, |product: u64, axis| product.saturating_mul(*axis as u64))
}

impl<V: Variant, S: UniformSizes> Kernel<V, S> {
    /// A launch of a variant of the kernel on these inputs, as many as it declares. `axes` are the lengths of the rows
    /// in which the buffers lie ([`super::kernel::Row::Axis`]).
    pub fn launch(
        &self,
        variant: V,
        axes: &[usize],
        inputs: &[Option<&dyn Operand>],
        sizes: &S,
        groups: [usize; 3],
    ) -> Launch {
        let form = self.launched_form(variant, axes, inputs.iter().map(|input| input.map(Operand::dtype)));
        let (mut near, mut bound) = (None, Vec::with_capacity(inputs.len()));
        let mut places = Vec::with_capacity(inputs.len());
        for tensor in inputs.iter().flatten().flat_map(|input| input.tensors()).flatten() {
            let its @ (memory, range) = &place(&tensor);
            // Browsers bind no place twice.
            let meets = |other: &Range<u64>| other.start < range.end && range.start < other.end;
            let is_bound = places.iter().any(|(other, there)| other == memory && meets(there));
            places.push(its.clone());
            let tensor = if is_bound { tensor.copy() } else { tensor };
            bound.push(tensor.handle.clone());
            near.get_or_insert(tensor);
        }
        let near = near.expect("every kernel reads something");
        Launch { form, near, inputs: bound, sizes: words(sizes), groups, operations: 0, cut: None }
    }
}

impl Launch {
    /// Floating-point operations of the whole launch; not stated where moving its values takes longer.
    pub fn operations(self, axes: &[usize]) -> Self {
        Self { operations: operations(axes), ..self }
    }

    /// Allows the launch to be cut along an axis of its workgroups; `first_group` is the offset of the field of its
    /// sizes that says how many workgroups come before a dispatch.
    pub fn cut(self, axis: usize, first_group: usize) -> Self {
        Self { cut: Some(Cut { axis, first_group }), ..self }
    }

    /// Runs the kernel; its result has this shape.
    pub fn run<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        let [result] = self.run_for([&shape]);
        Tensor::from_primitive::<CubeBackend>(result)
    }

    /// Runs the kernel for several results of the same shape, which lie in one buffer where they can, as [`planes_of`] reads
    /// them.
    pub fn run_side_by_side<const R: usize, const D: usize>(self, shape: [usize; D]) -> [Tensor<D>; R] {
        let outputs = match side_by_side(&self.near, R, &shape) {
            Some(parts) => {
                let parts = <[CubeTensor; R]>::try_from(parts);
                parts.unwrap_or_else(|_| unreachable!("as many as were asked for"))
            }
            None => [&shape; R].map(|shape| empty(&self.near, shape)),
        };
        self.run_to(outputs).map(Tensor::from_primitive::<CubeBackend>)
    }

    /// Runs the kernel for one result that is bound as a whole and seen as these, which lie in one buffer.
    pub fn run_over<const D: usize>(self, parts: Vec<CubeTensor>) -> Vec<Tensor<D>> {
        let (first, last) = (&parts[0], &parts[parts.len() - 1]);
        let mut handle = first.handle.clone();
        handle.offset_end = last.handle.offset_end;
        let values = handle.size_in_used() as usize / size_of::<f32>();
        let (client, device) = (first.client.clone(), first.device.clone());
        let _all = self.run_to([CubeTensor::new_contiguous(client, device, Shape::from([values]), handle, DType::F32)]);
        parts.into_iter().map(Tensor::from_primitive::<CubeBackend>).collect()
    }

    /// Runs the kernel for results in these places.
    pub fn run_in<const R: usize, const D: usize>(self, places: [CubeTensor; R]) -> [Tensor<D>; R] {
        self.run_to(places).map(Tensor::from_primitive::<CubeBackend>)
    }

    /// Runs the kernel for several results of these shapes.
    pub fn run_for<const R: usize>(self, shapes: [&[usize]; R]) -> [CubeTensor; R] {
        let outputs = shapes.map(|shape| empty(&self.near, shape));
        self.run_to(outputs)
    }

    fn run_to<const R: usize>(mut self, outputs: [CubeTensor; R]) -> [CubeTensor; R] {
        let name = self.form.form.name();
        debug_assert!(
            self.groups.iter().all(|groups| (1..=MOST_GROUPS as usize).contains(groups)),
            "{name}: {:?}",
            self.groups
        );
        debug_assert_eq!(self.inputs.len() + R, self.form.uniform_binding as usize, "{name}: bindings");
        let bound = self.inputs.iter().chain(outputs.iter().map(|output| &output.handle));
        let bytes = bound.map(Handle::size_in_used).sum();
        let dispatches = self.dispatches(is_watched(&self.near.device), bytes);
        for Dispatch { first, groups, begins } in dispatches {
            if begins {
                // What it reports comes out at the next reading.
                let _later = self.near.client.flush();
            }
            if let Some(cut) = self.cut {
                self.sizes[cut.first_group / size_of::<u32>()] = first as u32;
            }
            let (client, arguments) = (&self.near.client, self.arguments(&outputs, first));
            let launch = || {
                let count = CubeCount::Static(groups[0] as u32, groups[1] as u32, groups[2] as u32);
                client.launch(Box::new(FormSource(self.form.clone())), count, arguments);
            };
            #[cfg(feature = "native")]
            if launches::are_timed() {
                self.timed(groups, launch);
                continue;
            }
            launch();
        }
        outputs
    }

    /// Launches, and has the device say how long that takes.
    #[cfg(feature = "native")]
    fn timed(&self, groups: [usize; 3], launch: impl FnOnce() + Send) {
        let form = &self.form.form;
        let [x, y, z] = groups;
        let name = format!("{}, {}; {x} x {y} x {z} workgroups", form.name(), form.variant());
        // Where the time cannot be had, the launch is made all the same.
        if let Ok(((), took)) = self.near.client.profile(launch, form.name()) {
            launches::keep_time(name, took);
        }
    }

    /// What a dispatch is given that begins with this workgroup along the axis of the cut.
    ///
    /// The runtime remembers of every buffer that may be written whether that has failed, so it is told which are. A share of a
    /// launch but the first leaves standing what is known of the results: a share before may have failed.
    fn arguments(&self, outputs: &[CubeTensor], first: usize) -> KernelArguments {
        let written = if first == 0 { BufferIOAttr::WriteOnly } else { BufferIOAttr::ReadWrite };
        let count = self.inputs.len() + outputs.len();
        let (mut resources, mut declared_io) = (Vec::with_capacity(count), Vec::with_capacity(count));
        resources.extend(self.inputs.iter().map(bound));
        declared_io.resize(self.inputs.len(), BufferIOAttr::ReadOnly);
        resources.extend(outputs.iter().map(|output| bound(&output.handle)));
        declared_io.resize(count, written);
        let info = self.sizes.chunks_exact(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect();
        KernelArguments { resources, declared_io, info: MetadataBindingInfo::custom(info) }
    }

    /// The dispatches that it takes. One, unless the work is too much for one submission ([`submission`]).
    fn dispatches(&self, watched: bool, bytes: u64) -> Vec<Dispatch> {
        let Some(budget) = submission::budget(watched) else {
            return vec![Dispatch { first: 0, groups: self.groups, begins: false }];
        };
        let work = submission::work(self.operations, bytes);
        let axis = self.cut.map_or(1, |cut| cut.axis);
        let parts = if self.cut.is_some() { self.groups[axis] } else { 1 };
        let mut first = 0;
        let dispatch = |count: usize| {
            let mut groups = self.groups;
            if self.cut.is_some() {
                groups[axis] = count;
            }
            let share = u128::from(work) * count as u128 / parts as u128;
            let begins = submission::count(self.form.form.name(), groups, share as u64);
            first += count;
            Dispatch { first: first - count, groups, begins }
        };
        submission::shares(work, parts, budget).into_iter().map(dispatch).collect()
    }
}

fn bound(handle: &Handle) -> KernelResource {
    KernelResource::Buffer(handle.clone().binding())
}

/// A share of a launch.
struct Dispatch {
    /// Workgroups before it, along the axis of the cut.
    first: usize,
    groups: [usize; 3],
    /// Whether what was dispatched before is submitted first.
    begins: bool,
}

/// Whether a device is taken away if a submission takes too long. A software GPU is not.
fn is_watched(device: &cubecl::Device) -> bool {
    !matches!(device, cubecl::Device::Wgpu(device) if device.kind == WgpuDeviceKind::Cpu)
}

/// Before work on a wgpu device that is left to Burn: submits what was dispatched so far, where the two would be too
/// much for one submission.
pub(in crate::ops) fn submit_before<const D: usize>(tensor: &Tensor<D>, what: &'static str, operations: u64) {
    if let Some(tensor) = primitive(tensor)
        && submission::budget(is_watched(&tensor.device)).is_some()
        && submission::count(what, [1; 3], operations)
    {
        // What it reports comes out at the next reading.
        let _later = tensor.client.flush();
    }
}

/// How many of `parts` parts of such work a submission takes.
pub(in crate::ops) fn parts_of_a_submission<const D: usize>(
    tensor: &Tensor<D>,
    operations: u64,
    parts: usize,
) -> usize {
    let budget = primitive(tensor).and_then(|tensor| submission::budget(is_watched(&tensor.device)));
    budget.map_or(parts, |budget| submission::shares(operations, parts, budget).into_iter().max().unwrap_or(parts))
}

/// Room for values, on the device of another tensor.
pub(super) fn empty(near: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let (client, device) = (near.client.clone(), near.device.clone());
    let handle = spare::room(&client, shape.iter().product::<usize>() * size_of::<f32>());
    CubeTensor::new_contiguous(client, device, Shape::from(shape), handle, DType::F32)
}

/// Bytes to a multiple of which a buffer can be bound, on every WebGPU device.
pub(crate) const BINDING_ALIGNMENT: usize = 256;

/// Values from the beginning of one of several tensors that lie [`side_by_side`] to that of the next.
pub(super) fn pitch_of(shape: &[usize]) -> usize {
    shape.iter().product::<usize>().next_multiple_of(BINDING_ALIGNMENT / size_of::<f32>())
}

/// Room for several tensors of the same shape in one buffer, one after the other, with a gap where none could be bound
/// otherwise; none where the device has no buffers, or no bindings, of that size.
pub(super) fn side_by_side(near: &CubeTensor, count: usize, shape: &[usize]) -> Option<Vec<CubeTensor>> {
    let bytes = shape.iter().product::<usize>() * size_of::<f32>();
    let pitch = pitch_of(shape) * size_of::<f32>();
    if (count * pitch) as u64 > near.client.properties().memory.max_page_size {
        return None;
    }
    let all = spare::room(&near.client, count * pitch);
    let part = |i: usize| {
        let start = (i * pitch) as u64;
        let handle = all.clone().offset_start(start).offset_end(all.size() - start - bytes as u64);
        CubeTensor::new_contiguous(near.client.clone(), near.device.clone(), Shape::from(shape), handle, DType::F32)
    };
    Some((0..count).map(part).collect())
}

/// Weights whose values lie one after the other in one buffer, without a gap, and so do their scales where they have some: the
/// values of all, and the scales; none if they do not.
pub(in crate::ops) fn as_one<const D: usize>(parts: &[&Weight<D>]) -> Option<(CubeTensor, Option<CubeTensor>)> {
    let parts: Vec<_> = parts.iter().map(|part| frozen(part)).collect::<Option<_>>()?;
    let (values, scales): (Vec<_>, Vec<_>) = parts.into_iter().map(|[values, scales]| (values, scales)).unzip();
    let values = joined(values.into_iter().collect::<Option<_>>()?)?;
    match scales.iter().flatten().count() {
        0 => Some((values, None)),
        // Some of several weights may have scales, and others not.
        _ => Some((values, Some(joined(scales.into_iter().collect::<Option<_>>()?)?))),
    }
}

/// A tensor of floats that kernels made.
pub(in crate::ops) fn floats(tensor: CubeTensor) -> Tensor<1> {
    Tensor::from_primitive::<CubeBackend>(tensor)
}

/// A tensor of whole numbers.
pub(in crate::ops) fn whole_numbers(tensor: CubeTensor) -> Tensor<1, Int> {
    Tensor::from_primitive::<CubeBackend>(tensor)
}

/// Contiguous tensors of one type that lie one after the other in one buffer, without a gap, as one tensor of all their
/// values; none if they do not.
fn joined(parts: Vec<CubeTensor>) -> Option<CubeTensor> {
    let (first, last) = (parts.first()?, parts.last()?);
    let follows = |pair: &[CubeTensor]| {
        let [(a, here), (b, there)] = [place(&pair[0]), place(&pair[1])];
        a == b && here.end == there.start && pair[0].dtype == pair[1].dtype
    };
    let is_whole = |part: &CubeTensor| {
        let values = part.meta.shape().iter().product::<usize>();
        part.is_contiguous() && part.handle.size_in_used() == (values * part.dtype.size()) as u64
    };
    if !parts.iter().all(is_whole) || !parts.windows(2).all(follows) {
        return None;
    }
    let values = parts.iter().map(|part| part.meta.shape().iter().product::<usize>()).sum::<usize>();
    let mut handle = first.handle.clone();
    handle.offset_end = last.handle.offset_end;
    let (client, device) = (first.client.clone(), first.device.clone());
    Some(CubeTensor::new_contiguous(client, device, Shape::from([values]), handle, first.dtype))
}

/// Tensors of one shape that lie in one buffer, each as far behind the one before: all values from the first of them to the
/// last, and how many there are from the beginning of one to that of the next. None if they lie otherwise.
pub(super) fn planes_of<const D: usize>(parts: &[&Tensor<D>]) -> Option<(Tensor<1>, usize)> {
    let parts: Vec<CubeTensor> = parts.iter().map(|part| primitive(part)).collect::<Option<_>>()?;
    let (first, second, last) = (parts.first()?, parts.get(1)?, parts.last()?);
    let bytes = (first.meta.shape().iter().product::<usize>() * first.dtype.size()) as u64;
    let ((memory, start), (_, next)) = (place(first), place(second));
    let pitch = next.start.checked_sub(start.start).filter(|pitch| *pitch >= bytes)?;
    let lies_so = |(i, part): (usize, &CubeTensor)| {
        let (its_memory, its) = place(part);
        let begins = start.start + i as u64 * pitch;
        part.is_contiguous() && its_memory == memory && its == (begins..begins + bytes) && part.dtype == DType::F32
    };
    if !parts.iter().enumerate().all(lies_so) {
        return None;
    }
    let mut handle = first.handle.clone();
    handle.offset_end = last.handle.offset_end;
    let values = handle.size_in_used() as usize / size_of::<f32>();
    let (client, device) = (first.client.clone(), first.device.clone());
    let all = CubeTensor::new_contiguous(client, device, Shape::from([values]), handle, DType::F32);
    Some((Tensor::from_primitive::<CubeBackend>(all), pitch as usize / size_of::<f32>()))
}

/// Where a tensor's values are: in which memory, and which bytes of it.
fn place(tensor: &CubeTensor) -> (impl PartialEq + Clone + use<>, Range<u64>) {
    let start = tensor.handle.offset_start.unwrap_or(0);
    (tensor.handle.memory.clone().binding().id(), start..start + tensor.handle.size_in_used())
}

/// Whether two tensors are the same values in the same order.
pub(super) fn is_same(a: &CubeTensor, b: &CubeTensor) -> bool {
    place(a) == place(b) && a.meta == b.meta && a.dtype == b.dtype
}
