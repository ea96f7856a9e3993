//! Which device does the work, and why.
//!
//! Two kinds exist: `cpu` is Burn's pure-Rust `flex` device with our own kernels, `gpu` is Burn's wgpu backend with
//! kernels in WGSL. Every way into the second goes through functions that return errors: the lazy initialisation below
//! Burn panics where there is no adapter, and in a browser a panic ends the tab's worker.

#[cfg(target_family = "wasm")]
mod browser;
#[cfg(not(target_family = "wasm"))]
mod choice;
#[cfg(any(feature = "native", target_family = "wasm"))]
pub mod kept;
#[cfg(not(target_family = "wasm"))]
pub mod memory;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(feature = "native")]
pub mod noop;
#[cfg(any(feature = "native", target_family = "wasm"))]
pub mod precision;
#[cfg(feature = "native")]
mod spirv;
#[cfg(feature = "native")]
pub mod tuning;

#[cfg(target_family = "wasm")]
pub use browser::{browser, offer, tested, tested_in_eight_bits};
#[cfg(not(target_family = "wasm"))]
pub use choice::{DeviceChoice, PciAddress};
#[cfg(not(target_family = "wasm"))]
pub use native::{Adapter, Started, adapters, choose, cpu, offer, processor_name, restart, started, submissions};
#[cfg(feature = "native")]
pub use spirv::spirv;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::ops::HalfProducts;
pub use crate::ops::faults::{check, report};
#[cfg(feature = "native")]
pub(crate) use crate::ops::faults::{is_full, is_loss};

/// In which precision matrix products may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// In f16 with sums in f32 where a hardware GPU has a way that is right and faster, else in f32.
    #[default]
    Auto,
    /// In f32.
    F32,
    /// In f16 with sums in f32.
    F16,
}

impl Precision {
    /// Every choice, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Auto, Self::F32, Self::F16];

    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Auto => "auto",
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        }
    }

    /// As people say it.
    pub const fn label(self) -> &'static str {
        match self {
            Precision::Auto => "automatic",
            Precision::F32 => "f32, single precision",
            Precision::F16 => "f16, half precision",
        }
    }

    /// The choice with a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

/// What a GPU that was started offers for products in f16. Whether a way is right and fast is another matter.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The adapter.
    pub info: wgpu::AdapterInfo,
    /// The ways to make them.
    pub ways: Vec<HalfProducts>,
}

/// The device that will do the work.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// For tensors.
    pub device: Device,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// The processor or the adapter.
    pub name: String,
    /// Why this one.
    pub reason: String,
}

impl Chosen {
    /// The choice as an event.
    pub fn event(&self) -> Event {
        Event::Device { kind: self.kind.to_owned(), name: self.name.clone(), reason: self.reason.clone() }
    }
}

/// A device for work that puts no values of worth on one. Burn's own default would be a GPU, which it starts in a way that panics
/// where there is none.
pub(crate) fn any() -> Device {
    #[cfg(not(target_family = "wasm"))]
    let any = cpu();
    #[cfg(target_family = "wasm")]
    let any = Device::default();
    any
}

/// Whether a device computes on a GPU, even a software one.
pub fn is_gpu(device: &Device) -> bool {
    #[cfg(not(target_family = "wasm"))]
    let processor = *device == cpu();
    // A browser lends nothing else.
    #[cfg(target_family = "wasm")]
    let (processor, _) = (false, device);
    !processor
}

/// Whether what is read from a device means nothing: it is the one on which the host's work is measured.
pub(crate) fn computes_nothing(device: &Device) -> bool {
    #[cfg(feature = "native")]
    let nothing = noop::is(device);
    #[cfg(not(feature = "native"))]
    let (nothing, _) = (false, device);
    nothing
}

/// What an adapter lacks for the engine to run on it, in words; none if it will do.
///
/// The numbers are WebGPU's guaranteed limits (W3C WebGPU, "limits"), which the kernels are written for. An adapter
/// with less is an old OpenGL ES device or a browser's compatibility mode.
fn lacking(limits: &wgpu::Limits) -> Option<String> {
    let needs = [
        ("maxStorageBufferBindingSize", limits.max_storage_buffer_binding_size, 128 << 20),
        ("maxBufferSize", limits.max_buffer_size, 256 << 20),
        ("maxStorageBuffersPerShaderStage", u64::from(limits.max_storage_buffers_per_shader_stage), 8),
        ("maxComputeInvocationsPerWorkgroup", u64::from(limits.max_compute_invocations_per_workgroup), 256),
        ("maxComputeWorkgroupSizeX", u64::from(limits.max_compute_workgroup_size_x), 256),
        ("maxComputeWorkgroupStorageSize", u64::from(limits.max_compute_workgroup_storage_size), 16384),
        ("maxComputeWorkgroupsPerDimension", u64::from(limits.max_compute_workgroups_per_dimension), 65535),
    ];
    let missing: Vec<String> = needs
        .iter()
        .filter(|(_, has, needs)| has < needs)
        .map(|(name, has, needs)| format!("{name} is {has}, {needs} is needed"))
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guaranteed_limits_suffice_and_each_lower_one_is_named() {
        assert_eq!(lacking(&wgpu::Limits::default()), None);
        let small = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
        let words = lacking(&small).unwrap();
        assert!(words.contains("maxStorageBuffersPerShaderStage is 4, 8 is needed"), "{words}");
        let old = lacking(&wgpu::Limits::downlevel_webgl2_defaults()).unwrap();
        assert!(old.contains("maxComputeWorkgroupStorageSize is 0"), "{old}");
    }
}
