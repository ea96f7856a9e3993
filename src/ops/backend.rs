//! Who computes an op.

use std::cell::Cell;

use burn::tensor::{Device, Tensor};

use super::wgsl;
use crate::base::with_value::with_value;

/// Who computes an op. Every op is one `match` on this, going forward and going back.
///
/// A kernel in WGSL gives none where its work does not fit a launch; the composition does it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    /// Our kernels in WGSL.
    Wgpu,
    /// Our kernels for the processor.
    #[cfg(not(target_family = "wasm"))]
    Cpu,
    /// The composition of Burn's ops: the reference.
    Reference,
}

thread_local! {
    /// Whether our kernels are switched off. For measurements of a whole program without them there is the environment
    /// variable `PSEUDOWORD_REFERENCE`: set to anything, it switches them off from the start.
    static REFERENCE: Cell<bool> = Cell::new(std::env::var_os("PSEUDOWORD_REFERENCE").is_some());
}

impl Backend {
    /// Who computes ops on this tensor.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        if REFERENCE.get() {
            return Backend::Reference;
        }
        #[cfg(not(target_family = "wasm"))]
        if super::cpu::is_flex(tensor) {
            return Backend::Cpu;
        }
        if wgsl::is_wgpu(tensor) { Backend::Wgpu } else { Backend::Reference }
    }
}

/// Runs `work` with every op as a plain composition of Burn ops.
pub fn with_reference<R>(work: impl FnOnce() -> R) -> R {
    with_value(&REFERENCE, true, work)
}

/// Whether ops on this device run on our WGSL kernels.
pub fn uses_kernels(device: &Device) -> bool {
    Backend::of(&Tensor::<1>::zeros([1], device)) == Backend::Wgpu
}
