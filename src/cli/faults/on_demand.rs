//! Failures that tests ask for and that only the command line can bring about; what they are is in [`failpoints`].

use std::time::Duration;

use crate::base::failpoints::{self, Failure};
use crate::{gpu, ops};

/// Passes a place, where what was asked for happens.
pub fn pass(place: &str) {
    let failure = failpoints::pass(place);
    let started = || gpu::choose(gpu::DeviceChoice::Gpu).ok().and_then(|chosen| gpu::started(&chosen));
    match failure {
        Some(Failure::GpuLost) => drop(started().map(|started| started.raw().destroy())),
        Some(Failure::GpuInvalid) => {
            if let Some(started) = started() {
                let usage = wgpu::BufferUsages::STORAGE;
                let size = started.limits().max_buffer_size.saturating_add(4);
                let wrong = wgpu::BufferDescriptor { label: Some("too large"), size, usage, mapped_at_creation: false };
                let _invalid = started.raw().create_buffer(&wrong);
            }
        }
        Some(Failure::GpuMemory) => {
            gpu::report(&wgpu::Error::OutOfMemory { source: "not enough memory left".into() });
        }
        Some(Failure::Hang) => {
            let _waiting = ops::Waiting::begin();
            std::thread::sleep(Duration::from_secs(3600));
        }
        _ => {}
    }
}
