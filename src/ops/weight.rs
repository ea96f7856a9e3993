//! Frozen weights: stored as the file has them, computed with in f32.

use burn::tensor::{DType, Tensor};

/// A frozen tensor, f16 or f32, on the plain device.
#[derive(Debug, Clone)]
pub struct Weight<const D: usize>(Tensor<D>);

impl<const D: usize> Weight<D> {
    /// Wraps a tensor of floats.
    pub fn new(tensor: Tensor<D>) -> Self {
        Self(tensor)
    }

    /// The weight in f32, converted for the moment where it is stored in f16.
    ///
    /// Burn 0.22 checks no operand types: an f16 buffer next to an f32 one would be read as garbage, so no Burn op
    /// may use the stored tensor directly.
    pub fn f32(&self) -> Tensor<D> {
        match self.0.dtype() {
            DType::F32 => self.0.clone(),
            DType::F16 => super::wgsl::widen(&self.0).unwrap_or_else(|| self.0.clone().cast(DType::F32)),
            _ => self.0.clone().cast(DType::F32),
        }
    }

    /// The weight as it is stored, for kernels that ask how.
    pub(super) fn stored(&self) -> &Tensor<D> {
        &self.0
    }

    /// The sizes.
    pub fn dims(&self) -> [usize; D] {
        self.0.dims()
    }

    /// How it is stored.
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }
}
