//! What a GPU's memory holds, and the most that it has held.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Started;

/// How often a watched GPU is asked. Buffers come and go with launches that take longer.
const EVERY: Duration = Duration::from_millis(4);

/// Bytes of a GPU's memory, as its graphics API gives them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GpuMemory {
    /// In buffers, which the engine fills with weights and values; the empty ends of its pages are among them.
    pub buffers: u64,
    /// In the driver's blocks, in which the buffers lie.
    pub blocks: u64,
}

impl GpuMemory {
    /// What a device holds now; none where its graphics API does not say (Metal).
    pub fn now(device: &wgpu::Device) -> Option<Self> {
        let report = device.generate_allocator_report()?;
        Some(Self { buffers: report.total_allocated_bytes, blocks: report.total_reserved_bytes })
    }

    fn most(self, other: Self) -> Self {
        Self { buffers: self.buffers.max(other.buffers), blocks: self.blocks.max(other.blocks) }
    }
}

/// Watches what a GPU's memory holds, for as long as it lives.
pub struct MemoryWatch {
    device: wgpu::Device,
    most: Arc<Mutex<GpuMemory>>,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Of a device that was started; none where nothing can be learned of it.
    pub fn new(started: &Started) -> Option<Self> {
        let device = started.raw().clone();
        let most = Arc::new(Mutex::new(GpuMemory::now(&device)?));
        let (end, ended) = channel();
        let (watched, seen) = (device.clone(), most.clone());
        let thread = std::thread::Builder::new().name("gpu memory".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(EVERY) {
                let Some(now) = GpuMemory::now(&watched) else { break };
                let mut most = seen.lock().unwrap_or_else(PoisonError::into_inner);
                *most = most.most(now);
            }
        });
        Some(Self { device, most, end: Some(end), thread: thread.ok() })
    }

    /// The most since this was asked before.
    pub fn take(&self) -> GpuMemory {
        let now = GpuMemory::now(&self.device).unwrap_or_default();
        let mut most = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *most, now).most(now)
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it ended.
            drop(thread.join());
        }
    }
}
