//! A device that computes nothing: what a step costs the host is measured on it.
//!
//! wgpu's noop backend takes commands, checks them as it does for every other and drops them. What is left of a step is the
//! work of this program, Burn, cubecl and wgpu, without a driver's. Values on the device mean nothing, so nothing else may
//! choose it: it is not among the adapters.

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use wgpu::{Backend, BackendOptions, Backends, Features, InstanceDescriptor, Limits, NoopBackendOptions};

use super::Chosen;
use super::native::{at_once, keep};
use crate::{Error, Result};

/// The name under which it is kept.
const KEY: &str = "noop";

/// Starts it, as if it were a GPU of hardware.
///
/// # Errors
/// [`Error::NoGpu`] if wgpu or Burn does not give it.
pub fn start() -> Result<Chosen> {
    let refused = |reason: String| Error::NoGpu { reason: format!("wgpu's noop backend: {reason}") };
    let (features, limits) = (Features::SUBGROUP | Features::SHADER_F16, limits());
    let noop = NoopBackendOptions {
        enable: true,
        limits: Some(limits.clone()),
        features: Some(features),
        ..NoopBackendOptions::default()
    };
    let instance = wgpu::Instance::new(InstanceDescriptor {
        backends: Backends::NOOP,
        backend_options: BackendOptions { noop, ..BackendOptions::default() },
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapters = at_once(instance.enumerate_adapters(Backends::NOOP)).unwrap_or_default();
    let adapter = adapters.into_iter().next().ok_or_else(|| refused("there is no adapter".to_owned()))?;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: features,
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = at_once(adapter.request_device(&descriptor))
        .ok_or_else(|| refused("no answer".to_owned()))?
        .map_err(|error| refused(error.to_string()))?;
    let setup = WgpuSetup { instance, adapter, device, queue, backend: Backend::Noop };
    let device = Device::wgpu_options().setup(setup.clone()).init().map_err(|error| refused(error.to_string()))?;
    keep(KEY.to_owned(), device.clone(), setup);
    let reason = "as requested (nothing is computed)".to_owned();
    Ok(Chosen { device, kind: "gpu", name: "a device that computes nothing".to_owned(), reason })
}

/// Whether this is that device.
pub fn is(device: &Device) -> bool {
    super::native::key_of(device).is_some_and(|key| key == KEY)
}

/// WebGPU's own, with buffers as large as GPUs have them.
fn limits() -> Limits {
    Limits {
        max_buffer_size: 2 << 30,
        max_storage_buffer_binding_size: (2 << 30) - 4,
        max_storage_buffers_per_shader_stage: 16,
        max_compute_workgroup_storage_size: 32 << 10,
        ..Limits::default()
    }
}
