//! The operations that the models are made of, and where speed lives.
//!
//! Model code calls only these functions, on [`Var`]s. Feature maps are channels-last, `[B, H, W, C]`, everywhere: linear
//! layers, 1x1 convolutions and attention then need no transposition, and Burn's own convolution works in that layout.
//!
//! Each op has a plain composition of Burn ops (the reference, which runs on every device) and, where it pays, a kernel of
//! our own behind the same function: `cpu` for Burn's `flex` device, `wgsl` for wgpu devices. [`with_reference`] switches the kernels off, so that
//! tests can hold one against the other. Each op also knows its own backward (see [`grad`]).

mod activation;
mod attention;
mod conv2d;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod cpu;
pub(crate) mod faults;
mod geometry;
mod grad;
mod linear;
mod norm;
mod read;
mod self_test;
mod shape;
mod weight;
mod wgsl;

use std::cell::Cell;

pub use activation::{geglu, gelu, quick_gelu, silu};
pub use attention::{attention, has_attention_kernel};
pub use conv2d::{Conv2d, conv2d, conv2d_add};
pub use grad::{Gradients, Link, Origin, Var, backward, recompute};
pub use linear::{Linear, linear, linear_add};
pub use norm::{Norm, group_norm, group_norm_silu, layer_norm};
pub(crate) use read::Waiting;
pub use read::{read, settle, waiting};
pub use self_test::self_test;
pub use shape::{concat_channels, mse, splice, upsample_nearest_2x};
pub use weight::Weight;
pub(crate) use wgsl::mark_software;
pub use wgsl::{
    Measured, SoftwareGpu, Tiles, choose_tiles, measure_tiles, product_kernels, submission, texts as kernel_texts,
    tiles, with_blocks, with_tiles,
};

use burn::tensor::{Device, Tensor};

thread_local! {
    /// Whether our kernels are switched off. For measurements of a whole program without them there is the environment
    /// variable `PSEUDOWORD_REFERENCE`: set to anything, it switches them off from the start.
    static REFERENCE: Cell<bool> = Cell::new(std::env::var_os("PSEUDOWORD_REFERENCE").is_some());
}

/// Runs `work` with every op as a plain composition of Burn ops.
pub fn with_reference<R>(work: impl FnOnce() -> R) -> R {
    let before = REFERENCE.replace(true);
    let result = work();
    REFERENCE.set(before);
    result
}

/// Bytes that each thread of the processor holds while it makes a product.
#[cfg(not(target_family = "wasm"))]
pub const PACKED_BYTES: u64 = cpu::PACKED_BYTES;
/// In a browser the processor makes none.
#[cfg(target_family = "wasm")]
pub const PACKED_BYTES: u64 = 0;

/// Whether this tensor's ops run on our CPU kernels.
#[cfg(not(target_family = "wasm"))]
fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    !REFERENCE.get() && cpu::is_flex(tensor)
}

/// Whether ops on this device run on our WGSL kernels.
pub fn uses_kernels(device: &Device) -> bool {
    on_wgpu(&Tensor::<1>::zeros([1], device))
}

/// Whether this tensor's ops run on our WGSL kernels.
fn on_wgpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    !REFERENCE.get() && wgsl::is_wgpu(tensor)
}
