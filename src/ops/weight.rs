//! Frozen weights: stored as the file has them or in eight bits, computed with in f32.

use std::ops::Range;

use burn::tensor::{Bytes, DType, Device, Int, Tensor, TensorData};

use super::wgsl;
use crate::base::eight_bits::{BLOCK, quantised};

/// A frozen tensor on the plain device: f16, f32, or in eight bits.
#[derive(Debug, Clone)]
pub struct Weight<const D: usize> {
    values: FrozenTensor<D>,
    /// Whether products with it are always made in f32.
    exact: bool,
}

/// How a weight's values are stored.
#[allow(clippy::large_enum_variant, reason = "every op clones its weight: in a box that would allocate")]
#[derive(Debug, Clone)]
pub(super) enum FrozenTensor<const D: usize> {
    /// f16 or f32.
    Floats(Tensor<D>),
    /// In eight bits. In a box, because models are moved about as values with hundreds of weights in them.
    Quantised(Box<Quantised<D>>),
}

/// Values in eight bits ([`crate::base::eight_bits`]), in blocks along the last axis.
#[derive(Debug, Clone)]
pub(super) struct Quantised<const D: usize> {
    /// `[.., width]`, i8; `width` is a multiple of [`BLOCK`].
    pub values: Tensor<D, Int>,
    /// `[.., width / BLOCK]`, f16.
    pub scales: Tensor<D>,
}

impl<const D: usize> Weight<D> {
    /// Wraps a tensor of floats.
    pub fn new(tensor: Tensor<D>) -> Self {
        Self { values: FrozenTensor::Floats(tensor), exact: false }
    }

    /// Wraps values in eight bits `[.., width]`, i8, and their scales `[.., width / 32]`, f16.
    ///
    /// # Panics
    /// If these are other types, or there is not a scale for each block of a row.
    pub fn quantised(values: Tensor<D, Int>, scales: Tensor<D>) -> Self {
        let (mut blocks, scaled) = (values.dims(), scales.dims());
        assert_eq!((values.dtype(), scales.dtype()), (DType::I8, DType::F16), "eight bits and their scales");
        assert!(blocks[D - 1].is_multiple_of(BLOCK), "rows of whole blocks");
        blocks[D - 1] /= BLOCK;
        assert_eq!(blocks, scaled, "a scale for each block");
        Self { values: FrozenTensor::Quantised(Box::new(Quantised { values, scales })), exact: false }
    }

    /// Numbers in eight bits, on a device; none if a row is not a multiple of a block, or a number is beyond f16.
    pub fn in_eight_bits(numbers: &[f32], shape: [usize; D], device: &Device) -> Option<Self> {
        if !shape[D - 1].is_multiple_of(BLOCK) {
            return None;
        }
        let (mut values, mut scales) = (Vec::with_capacity(numbers.len()), Vec::new());
        for block in numbers.as_chunks::<BLOCK>().0 {
            let (scale, block) = quantised(block)?;
            scales.extend(scale.to_le_bytes());
            values.extend(block.map(|value| value as u8));
        }
        let mut blocks = shape;
        blocks[D - 1] /= BLOCK;
        let data = |bytes, shape, dtype| TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, dtype);
        let values = Tensor::from_data(data(values, shape, DType::I8), (device, DType::I8));
        Some(Self::quantised(values, Tensor::from_data(data(scales, blocks, DType::F16), (device, DType::F16))))
    }

    /// The same, with products made in f32 whatever precision is allowed: f16 would not do for what they come to.
    pub fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Whether products with it are always made in f32.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The weight in f32, converted for the duration of its use where it is stored otherwise.
    ///
    /// Burn 0.22 checks no operand types: an f16 buffer next to an f32 one would be read as garbage, so no Burn op
    /// may use the stored tensor directly.
    pub fn f32(&self) -> Tensor<D> {
        match &self.values {
            FrozenTensor::Floats(values) if values.dtype() == DType::F32 => values.clone(),
            _ => wgsl::widen(self).unwrap_or_else(|| match &self.values {
                FrozenTensor::Floats(values) => values.clone().cast(DType::F32),
                FrozenTensor::Quantised(quantised) => quantised.f32(),
            }),
        }
    }

    /// Weights that lie one after the other in one buffer of a GPU, as one; none if they do not. The scales of weights in
    /// eight bits do so, too.
    pub fn joined(parts: &[&Weight<D>]) -> Option<Self> {
        let mut shape = parts.first()?.dims();
        shape[0] = parts.iter().map(|part| part.dims()[0]).sum();
        let exact = parts.iter().any(|part| part.exact);
        let joined = match wgsl::as_one(parts)? {
            (values, None) => Self::new(wgsl::floats(values).reshape(shape)),
            (values, Some(scales)) => {
                let mut blocks = shape;
                blocks[D - 1] /= BLOCK;
                Self::quantised(wgsl::whole_numbers(values).reshape(shape), wgsl::floats(scales).reshape(blocks))
            }
        };
        Some(Self { exact, ..joined })
    }

    /// Some of the values in f32, of which there are `range.len()` from `range.start` on, row after row. On a GPU no others
    /// are converted.
    pub fn some(&self, range: Range<usize>) -> Tensor<1> {
        let count = self.dims().iter().product::<usize>();
        wgsl::widen_some(self, range.clone())
            .unwrap_or_else(|| self.f32().reshape([count]).narrow(0, range.start, range.len()))
    }

    /// The values as they are stored, for kernels that ask how.
    pub(super) fn stored(&self) -> &FrozenTensor<D> {
        &self.values
    }

    /// The sizes.
    pub fn dims(&self) -> [usize; D] {
        match &self.values {
            FrozenTensor::Floats(values) => values.dims(),
            FrozenTensor::Quantised(quantised) => quantised.values.dims(),
        }
    }

    /// How it is stored; in eight bits as i8.
    pub fn dtype(&self) -> DType {
        match &self.values {
            FrozenTensor::Floats(values) => values.dtype(),
            FrozenTensor::Quantised(quantised) => quantised.values.dtype(),
        }
    }
}

impl<const D: usize> Quantised<D> {
    /// The values in f32, by Burn's ops.
    fn f32(&self) -> Tensor<D> {
        let (shape, blocks) = (self.values.dims(), self.scales.dims().iter().product::<usize>());
        let values = self.values.clone().float().cast(DType::F32).reshape([blocks, BLOCK]);
        (values * self.scales.clone().cast(DType::F32).reshape([blocks, 1])).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Noise, Stream};

    #[test]
    fn a_weight_in_eight_bits_is_what_its_blocks_stand_for() {
        let (device, shape) = (crate::gpu::cpu(), [3, 2 * BLOCK]);
        let numbers = Noise::new(1).draws(0, Stream::Init).normals(shape.iter().product());
        let weight = Weight::in_eight_bits(&numbers, shape, &device).unwrap();
        let blocks = numbers.as_chunks::<BLOCK>().0.iter().map(|block| quantised(block).unwrap());
        let want: Vec<f32> = blocks.flat_map(|(scale, block)| crate::base::eight_bits::widened(scale, block)).collect();
        assert_eq!((weight.dims(), weight.dtype()), (shape, DType::I8));
        let read = |tensor: Tensor<1>| pollster::block_on(crate::ops::read(tensor)).unwrap();
        assert_eq!(read(weight.f32().reshape([want.len()])), want);
        assert_eq!(read(weight.some(30..70)), want[30..70]);
        assert!(Weight::in_eight_bits(&numbers[..66], [3, 22], &device).is_none(), "rows that are not whole blocks");
        assert!(Weight::in_eight_bits(&[1e5; BLOCK], [1, BLOCK], &device).is_none(), "beyond f16");
    }
}
