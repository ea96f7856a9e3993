//! Where values lie on a device that keeps what was freed for later.
//!
//! A GPU's allocator puts values into pages a little longer than the longest value so far, and reuses them. That suits
//! values that come and go in a step. Values that stay get a buffer of their own length, without a page's empty end.

use burn::tensor::{Device, Tensor};

use super::wgsl;

/// Runs `make` so that what it allocates gets buffers of its own length. Such a buffer is used again for values of the
/// same length, and freed by [`release_unused`].
pub(crate) fn lasting<const D: usize>(device: &Device, make: impl Fn() -> Tensor<D> + Send + Sync) -> Tensor<D> {
    device.memory_persistent_allocations((), |()| make())
}

/// Bytes that a GPU's allocator holds in buffers, the empty ends of its pages among them; none on the processor. In a browser nobody
/// else says.
pub fn held(device: &Device) -> Option<u64> {
    super::wgsl::held(&Tensor::<1>::zeros([1], device))
}

/// Gives back what the device keeps for later: to be called where one kind of work ends and another begins, which needs
/// values of other lengths. Without it the needs of both would add up.
pub(crate) fn release_unused(device: &Device) {
    wgsl::give_back();
    device.memory_cleanup();
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_processor_has_no_buffers() {
        assert_eq!(super::held(&crate::gpu::cpu()), None);
    }
}
