//! Launches the kernels in `shaders/` on a wgpu device.

use burn::tensor::{DType, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate, into_contiguous};
use cubecl::prelude::{CubeCount, KernelId};
use cubecl::server::KernelArguments;

/// A kernel with its numbers filled in.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    name: &'static str,
    text: &'static str,
    numbers: Vec<(&'static str, String)>,
}

impl Kernel {
    pub fn new(name: &'static str, text: &'static str, numbers: Vec<(&'static str, String)>) -> Self {
        Self { name, text, numbers }
    }
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        let template = SourceTemplate::new(self.text);
        self.numbers.iter().fold(template, |template, (key, value)| template.register(*key, value))
    }

    fn id(&self) -> KernelId {
        let numbers: Vec<String> = self.numbers.iter().map(|(key, value)| format!("{key}={value}")).collect();
        KernelId::new::<Self>().info(format!("{} {}", self.name, numbers.join(" ")))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Whether the tensor lives on a device that runs our kernels.
pub(super) fn is_wgpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && primitive(tensor).is_some()
}

fn primitive<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    tensor.clone().try_into_primitive::<CubeBackend>().ok()
}

/// Values stored as f16 in f32, by `shaders/widen.wgsl`; none if they live on a device that does not run our kernels.
///
/// Burn's own cast needs the device's f16 type, which is an optional feature of WebGPU.
pub(super) fn widen<const D: usize>(stored: &Tensor<D>) -> Option<Tensor<D>> {
    const LANES: u32 = 256;
    primitive(stored)?;
    let count = stored.dims().iter().product::<usize>() as u32;
    let groups = count.div_ceil(2 * LANES).min(65_535);
    let kernel = Kernel::new("widen", include_str!("../../shaders/widen.wgsl"), Vec::new());
    Some(launch(kernel, &[stored], stored.dims(), groups, LANES))
}

/// Runs `kernel` in `groups` workgroups on `inputs`, followed by the output as the last binding.
pub(super) fn launch<const D: usize>(
    kernel: Kernel,
    inputs: &[&dyn Input],
    shape: [usize; D],
    groups: u32,
    lanes: u32,
) -> Tensor<D> {
    let inputs: Vec<CubeTensor> = inputs.iter().map(|input| input.contiguous()).collect();
    let (client, device) = (inputs[0].client.clone(), inputs[0].device.clone());
    let count = shape.iter().product::<usize>();
    let handle = client.empty(count * size_of::<f32>());
    let output = CubeTensor::new_contiguous(client.clone(), device, Shape::from(shape), handle, DType::F32);
    let buffers = inputs.iter().chain([&output]).map(|tensor| tensor.handle.clone().binding()).collect();
    client.launch(
        Box::new(SourceKernel::new(kernel, CubeDim::new_1d(lanes))),
        CubeCount::Static(groups, 1, 1),
        KernelArguments::new().with_buffers(buffers),
    );
    Tensor::from_primitive::<CubeBackend>(output)
}

/// A tensor of any rank as a kernel's input.
pub(super) trait Input {
    fn contiguous(&self) -> CubeTensor;
}

impl<const D: usize> Input for Tensor<D> {
    fn contiguous(&self) -> CubeTensor {
        into_contiguous(primitive(self).expect("the caller checked the device"))
    }
}
