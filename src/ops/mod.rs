//! The operations that the models are made of, and where speed lives.
//!
//! Model code calls only these functions, on [`Var`]s. Feature maps are channels-last, `[B, H, W, C]`, everywhere:
//! linear layers, 1x1 convolutions and attention then need no transposition, and Burn's own convolution works in that
//! layout.
//!
//! Each op has a plain composition of Burn ops (the reference, which runs on every device) and, where it pays, a kernel
//! of our own behind the same function: `cpu` for Burn's `flex` device, `wgsl` for wgpu devices; `backend` says which
//! is used. [`with_reference`] switches the kernels off, so that tests can hold one against the other. Each op also
//! knows its own backward (see [`grad`]).

mod activation;
mod attention;
mod backend;
mod blend;
mod conv2d;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod cpu;
pub(crate) mod faults;
mod geometry;
mod grad;
#[cfg(feature = "native")]
mod launches;
mod linear;
mod loss;
mod memory;
mod mlp;
mod moments;
mod norm;
mod normed;
mod read;
mod self_test;
mod shape;
mod weight;
mod wgsl;

pub use activation::{geglu, gelu, quick_gelu, silu};
pub use attention::{SCORES_BYTES, attention, attention_exact, attention_past, has_attention_kernel};
use backend::Backend;
pub use backend::{uses_kernels, with_reference};
pub use blend::{Blend, guided, twice};
pub use conv2d::{Conv2d, Shift, conv2d, conv2d_add, conv2d_shifted};
pub use grad::{Gradients, Link, Origin, Var, backward, recompute, recompute_rows};
#[cfg(feature = "native")]
pub use launches::{LaunchCounter, LaunchTimer, Launches};
pub use linear::{Linear, Linears, linear, linear_add, linears, linears_side_by_side};
pub use loss::{mse, unlikeness};
pub use memory::held;
pub(crate) use memory::{lasting, release_unused};
pub use mlp::{Mlp, MlpActivation, linear_silu, mlp};
pub use moments::{GroupMoments, KnownNorm};
pub use norm::{Norm, group_norm, group_norm_silu, group_norm_silu_joined, layer_norm};
pub use normed::{NormedLinears, normed_linears};
#[cfg(feature = "native")]
pub(crate) use read::Waiting;
pub use read::{read, settle, waiting};
pub use self_test::{half_self_test, self_test, self_test_in_eight_bits};
pub use shape::{columns, rows_at, side_by_side, splice, take_rows, upsample_nearest_2x};
pub use weight::Weight;
pub(crate) use wgsl::{BINDING_ALIGNMENT, mark_software};
pub use wgsl::{
    Form as KernelForm, HalfMethod, HalfProducts, MeasuredTiles, SizesField, SoftwareGpu, Tiles, choose_half_products,
    choose_tiles, forms as kernel_forms, half_products_of, half_products_version, launched_forms as launched_kernels,
    measure_half_products, measure_tiles, products_version, submission, tiles, time_products, with_blocks,
    with_half_products, with_spoiled_results, with_tiles,
};

/// Bytes that each thread of the processor holds while it makes a product.
#[cfg(not(target_family = "wasm"))]
pub const PACKED_BYTES: u64 = cpu::PACKED_BYTES;
/// Bytes that the processor holds besides while it makes a convolution.
#[cfg(not(target_family = "wasm"))]
pub const EVALUATED_BYTES: u64 = cpu::EVALUATED_BYTES;
/// In a browser the processor makes none.
#[cfg(target_family = "wasm")]
pub const PACKED_BYTES: u64 = 0;
/// In a browser the processor makes none.
#[cfg(target_family = "wasm")]
pub const EVALUATED_BYTES: u64 = 0;
