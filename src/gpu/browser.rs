//! The GPU of a browser tab, or a polite refusal.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use burn::tensor::Device;

use super::{Chosen, lacking};
use crate::ops::{self, SoftwareGpu, faults};
use crate::{Error, Result};

thread_local! {
    /// The runtime can be set up only once; later calls get the same one.
    static READY: RefCell<Option<Chosen>> = const { RefCell::new(None) };
    /// Whether it was tested.
    static TESTED: Cell<bool> = const { Cell::new(false) };
}

/// Asks the browser for its GPU and makes it ready for tensors. To be awaited before any tensor is made.
///
/// # Errors
/// [`Error::NoGpu`] if there is none, or none that the engine can run on.
pub async fn browser() -> Result<Chosen> {
    if let Some(chosen) = READY.with_borrow(Clone::clone) {
        return Ok(chosen);
    }
    let no_gpu = |reason: String| Error::NoGpu { reason };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    let adapter = instance.request_adapter(&options).await.map_err(|error| {
        no_gpu(format!(
            "this browser offers no WebGPU adapter ({error}); try a current Chrome, Edge, Firefox or Safari"
        ))
    })?;
    if let Some(missing) = lacking(&adapter.limits(), adapter.features()) {
        return Err(no_gpu(format!("this browser's GPU cannot run the engine: {missing}")));
    }
    let info = adapter.get_info();
    let described = [&info.name, &info.driver].into_iter().find(|name| !name.is_empty());
    let name = described.cloned().unwrap_or_else(|| "the browser's GPU".to_owned());
    let (device, setup) = Device::wgpu_options()
        .init_with_setup_async()
        .await
        .map_err(|error| no_gpu(format!("the browser's GPU could not be started: {error}")))?;
    // The default is a panic, which ends the tab's worker.
    setup.device.on_uncaptured_error(Arc::new(|error| faults::report(&error)));
    let reason = if info.device_type == wgpu::DeviceType::Cpu {
        ops::mark_software(&device, SoftwareGpu::Other);
        "the browser offers only a software GPU, which is slow"
    } else {
        "the browser's GPU"
    };
    let chosen = Chosen { device, kind: "gpu", name, reason: reason.to_owned() };
    READY.set(Some(chosen.clone()));
    Ok(chosen)
}

/// Tests the device the first time that it is asked about, before anything large is loaded: a browser only logs a
/// kernel that its compiler refuses.
///
/// # Errors
/// [`Error::Gpu`] if it computes wrong values.
pub async fn tested(chosen: &Chosen) -> Result<()> {
    if !TESTED.get() {
        ops::self_test(&chosen.device).await?;
        TESTED.set(true);
    }
    Ok(())
}
