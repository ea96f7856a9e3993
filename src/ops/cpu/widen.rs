//! Halves become f32.

use burn::tensor::{DType, Tensor};
use burn_flex::Flex;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// Values that one task takes.
const TASK: usize = 1 << 16;

/// The same numbers in f32; none if the tensor is not of halves. A full-size model is widened layer by layer in every step, so
/// all cores do it, with the processor's own instruction for it where there is one.
pub(crate) fn widen<const D: usize>(tensor: &Tensor<D>) -> Option<Tensor<D>> {
    if tensor.dtype() != DType::F16 {
        return None;
    }
    let flex = tensor.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
    let halves = flex.as_slice::<f16>()?;
    let mut wide = vec![0.0; halves.len()];
    wide.par_chunks_mut(TASK).zip(halves.par_chunks(TASK)).for_each(|(wide, halves)| halves.convert_to_f32_slice(wide));
    Some(super::tensor(wide, tensor.dims()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bytes, Device, TensorData};

    use super::*;

    #[test]
    fn every_half_is_the_same_number() {
        // All of them, over more than one task, and not in order.
        let halves: Vec<f16> =
            (0..=u16::MAX).map(|bits| f16::from_bits(bits.rotate_left(5))).chain([f16::ONE]).collect();
        let bytes = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), [halves.len()], DType::F16);
        let tensor = Tensor::<1>::from_data(data, (&Device::flex(), DType::F16));
        let wide = widen(&tensor).map(|wide| wide.into_data().try_to_vec::<f32>());
        let wide = wide.and_then(Result::ok).unwrap_or_default();
        assert_eq!(wide.len(), halves.len());
        for (wide, half) in wide.iter().zip(&halves) {
            assert!(wide.to_bits() == half.to_f32().to_bits() || (wide.is_nan() && half.is_nan()), "{half}: {wide}");
        }
        assert!(widen(&Tensor::<1>::ones([3], &Device::flex())).is_none());
    }
}
