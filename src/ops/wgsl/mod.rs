//! The kernels in `shaders/`, launched on a wgpu device.
//!
//! A kernel is declared once ([`kernel`]): its file, its buffers, its variants. Its text is put together when it is
//! first needed ([`source`]): a part for each of its buffers, by how the buffer's values are stored, then its file with
//! what that imports. Numbers that shape the code are filled in; sizes of tensors come in a uniform buffer
//! ([`uniform`]), so that one compiled kernel serves every layer. A launch may become several dispatches ([`launch`],
//! [`submission`]).

mod activation;
mod attention;
mod blend;
mod buffer;
mod conv2d;
mod device;
mod fused;
mod halves;
mod kernel;
mod launch;
mod linear;
mod loss;
mod mlp;
mod norm;
mod normed;
mod shares;
mod source;
mod spare;
pub mod submission;
mod tile;
mod tune;
mod uniform;
mod widen;

use burn::tensor::{DType, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::MemoryScope;

use kernel::Declared;

pub(super) use activation::{Activation, activation, activation_backward, geglu, geglu_backward};
pub(super) use attention::Attention;
pub(super) use blend::{blend, is_same_tensor};
pub(super) use conv2d::{Bias, conv2d, conv2d_backward};
pub(crate) use device::mark_software;
pub use device::{
    SoftwareGpu, choose_half_products, choose_tiles, half_products_of, tiles, with_blocks, with_half_products,
    with_tiles,
};
pub use halves::{HalfMethod, HalfProducts};
pub use kernel::Form;
pub(crate) use launch::BINDING_ALIGNMENT;
pub(super) use launch::{as_one, floats, operations, parts_of_a_submission, submit_before, whole_numbers};
pub(super) use linear::{linear, linear_backward, linear_backward_planes, linear_planes};
pub(super) use loss::mse;
pub(super) use mlp::{Between, activated, slope};
pub(super) use norm::{GroupNorm, layer_norm, layer_norm_backward};
pub(super) use normed::{FoldedNorm, folds_norms, normed_activated, normed_planes};
pub(super) use spare::give_back;
pub use spare::with_spoiled_results;
pub use tile::Tiles;
pub use tune::{
    MeasuredTiles, half_products_version, measure_half_products, measure_tiles, products_version, time_products,
};
pub use uniform::SizesField;
pub(super) use widen::{widen, widen_some};

/// Most workgroups along one axis of a dispatch, on every WebGPU device.
const MOST_GROUPS: u32 = 65535;

/// How many workgroups fill a GPU. No API says how many multiprocessors it has, so this is a guess: a card of 132
/// was fastest with tiles of 32 x 32 for products of which 160 workgroups make one in tiles of 64 x 64.
const WANTED_GROUPS: usize = 64;

/// Every kernel. A file in `shaders/` that none of these is made of fails a test.
static KERNELS: [&dyn Declared; 39] = [
    &linear::FORWARD,
    &linear::BACKWARD,
    &linear::HALF_FORWARD,
    &linear::HALF_BACKWARD,
    &conv2d::FORWARD,
    &conv2d::BACKWARD,
    &conv2d::HALF_FORWARD,
    &conv2d::HALF_BACKWARD,
    &mlp::ACTIVATED,
    &mlp::GATED,
    &mlp::SLOPE,
    &normed::NORMED,
    &normed::NORMED_ACTIVATED,
    &normed::NORMED_GATED,
    &attention::FORWARD,
    &attention::BACKWARD_QUERIES,
    &attention::BACKWARD_KEYS,
    &norm::GROUPS_FORWARD,
    &norm::GROUPS_BACKWARD,
    &norm::JOINED_FORWARD,
    &norm::JOINED_BACKWARD,
    &norm::SPANS_MOMENTS,
    &norm::SPANS_MOMENTS_JOINED,
    &norm::SPANS_SUMS,
    &norm::SPANS_FORWARD,
    &norm::KNOWN_FORWARD,
    &norm::SPANS_BACKWARD,
    &norm::SPANS_JOINED_FORWARD,
    &norm::SPANS_JOINED_BACKWARD,
    &norm::ROWS_FORWARD,
    &norm::ROWS_BACKWARD,
    &activation::FORWARD,
    &activation::BACKWARD,
    &activation::GEGLU,
    &activation::GEGLU_BACKWARD,
    &blend::BLEND,
    &loss::MSE,
    &shares::SHARES,
    &widen::WIDEN,
];

/// Every kernel in every form in which it may be launched: for validation without a GPU, and for writing them to files.
pub fn forms() -> Vec<Form> {
    KERNELS.iter().flat_map(|kernel| kernel.forms()).collect()
}

/// The forms that were launched by now, on any device.
pub fn launched_forms() -> Vec<Form> {
    KERNELS.iter().flat_map(|kernel| kernel.launched()).map(|launched| launched.form.clone()).collect()
}

/// Whether the tensor is f32 on a device that runs our kernels.
pub(super) fn is_wgpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && device::runs_kernels(tensor)
}

/// Bytes in all buffers of the device that a tensor is on; none if that is not a GPU.
pub(super) fn held<const D: usize>(on: &Tensor<D>) -> Option<u64> {
    Some(primitive(on)?.client.memory_report(MemoryScope::Device).usage().bytes_reserved)
}

fn primitive<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    tensor.clone().try_into_primitive::<CubeBackend>().ok()
}
