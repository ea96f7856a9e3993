//! Kernels for Burn's `flex` device: plain loops over slices, vectorised by the compiler for the machine at hand,
//! products of our own with the frozen weights ([`product`]), the `gemm` crate for those of activations, and rayon to
//! share the rows among the cores.
//!
//! Activations are f32 and contiguous here; one that is not is made so at the door ([`Slab`]). Weights stay as they are
//! stored ([`Frozen`]).

mod activation;
mod attention;
mod conv2d;
mod gemm;
mod linear;
mod math;
mod norm;
mod product;
mod winograd;

pub(crate) use activation::{
    geglu, geglu_backward, gelu, gelu_backward, quick_gelu, quick_gelu_backward, silu, silu_backward,
};
pub(crate) use attention::{attention, attention_backward};
pub(crate) use conv2d::{conv2d, conv2d_backward};
pub(crate) use linear::{linear, linear_backward};
pub(crate) use norm::{group_norm, group_norm_backward, layer_norm, layer_norm_backward};

use burn::tensor::{DType, Shape, Tensor};
use burn_flex::{Flex, FlexTensor, Layout};
use half::f16;
use rayon::prelude::*;

use super::Weight;
use super::weight::FrozenTensor;
use product::FrozenValues;

/// Bytes of what a thread holds for its share of a product or a convolution; rounded up, as an allocator does.
pub(super) const PACKED_BYTES: u64 = if product::TASK_BYTES > winograd::TASK_BYTES {
    product::TASK_BYTES.next_power_of_two()
} else {
    winograd::TASK_BYTES.next_power_of_two()
};

/// Most bytes that a convolution makes of its input beforehand.
pub(super) const EVALUATED_BYTES: u64 = winograd::EVALUATED_BYTES as u64;

/// Whether the tensor lives on the CPU device.
pub(crate) fn is_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == burn::tensor::Device::flex()
}

/// A contiguous f32 tensor of the CPU device, to be read as a slice.
pub(crate) struct Slab(FlexTensor);

impl Slab {
    /// Opens a tensor; copies only if it is not contiguous.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = match tensor.dtype() {
            DType::F32 => tensor.clone(),
            _ => tensor.clone().cast(DType::F32),
        };
        Self(floats(tensor).to_contiguous())
    }
}

impl std::ops::Deref for Slab {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice::<f32>().expect("contiguous f32, made so on opening")
    }
}

/// A contiguous weight of the CPU device, as it is stored.
enum Frozen {
    /// Halves or f32.
    Floats(FlexTensor),
    /// Values in eight bits, and their scales.
    Quantised([FlexTensor; 2]),
}

impl Frozen {
    fn of<const D: usize>(weight: &Weight<D>) -> Self {
        match weight.stored() {
            FrozenTensor::Floats(tensor) => {
                let tensor = match tensor.dtype() {
                    DType::F16 | DType::F32 => tensor.clone(),
                    _ => tensor.clone().cast(DType::F32),
                };
                Frozen::Floats(floats(tensor).to_contiguous())
            }
            FrozenTensor::Quantised(quantised) => {
                let values = quantised.values.clone().try_into_primitive::<Flex>();
                let values = values.expect("the caller checked the device");
                let scales = floats(quantised.scales.clone());
                Frozen::Quantised([values, scales].map(|tensor| tensor.to_contiguous()))
            }
        }
    }

    fn values(&self) -> FrozenValues<'_> {
        const CHECKED: &str = "contiguous and of this type, made so on opening";
        match self {
            Frozen::Floats(tensor) => match tensor.as_slice::<f16>() {
                Some(halves) => FrozenValues::Half(halves),
                None => FrozenValues::Single(tensor.as_slice::<f32>().expect(CHECKED)),
            },
            Frozen::Quantised([values, scales]) => FrozenValues::EightBits {
                values: values.as_slice::<i8>().expect(CHECKED),
                scales: scales.as_slice::<f16>().expect(CHECKED),
            },
        }
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("the caller checked the device")
}

/// What a product is added to: rows of the bias, or zeros without one, and what else is added.
fn starting<const D: usize>([rows, width]: [usize; 2], bias: Option<&Weight<1>>, more: Option<&Tensor<D>>) -> Vec<f32> {
    let mut out = vec![0.0; rows * width];
    let (bias, more) = (bias.map(|bias| Slab::of(&bias.f32())), more.map(Slab::of));
    if bias.is_none() && more.is_none() {
        return out;
    }
    // By all cores: the memory is touched here for the first time.
    let share = rows_per_task(rows, width) * width;
    out.par_chunks_mut(share).enumerate().for_each(|(i, out)| {
        if let Some(more) = &more {
            out.copy_from_slice(&more[i * share..][..out.len()]);
        }
        if let Some(bias) = &bias {
            for row in out.chunks_exact_mut(width) {
                row.iter_mut().zip(bias.iter()).for_each(|(value, bias)| *value += bias);
            }
        }
    });
    out
}

/// Makes a tensor of the values.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    let bytes = burn::tensor::Bytes::from_elems(values);
    Tensor::from_primitive::<Flex>(FlexTensor::new(bytes, Layout::contiguous(Shape::from(shape)), DType::F32))
}

/// Runs a loop with the widest vector instructions that this processor has.
///
/// Only code that is inlined into the closure profits, so the loops behind it are `#[inline(always)]`.
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Rows (of a matrix with `width` columns) that one task should take: enough to be worth a task, few enough that every
/// core gets some.
pub(crate) fn rows_per_task(rows: usize, width: usize) -> usize {
    const WORTH_A_TASK: usize = 16 * 1024;
    let share = rows.div_ceil(rayon::current_num_threads());
    share.max(WORTH_A_TASK.div_ceil(width.max(1))).max(1)
}
