//! Frozen weights: stored as the file has them, computed with in f32.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

/// A frozen tensor, f16 or f32, on the plain device.
#[derive(Debug, Clone)]
pub struct Weight<const D: usize> {
    values: Tensor<D>,
    /// What the values are multiplied by, where they are quantised: a second buffer for the kernels. Nothing is yet.
    /// In a box, because models are moved about as values with hundreds of weights in them.
    scales: Option<Box<Tensor<D>>>,
    /// Whether products with it are always made in f32.
    exact: bool,
}

impl<const D: usize> Weight<D> {
    /// Wraps a tensor of floats.
    pub fn new(tensor: Tensor<D>) -> Self {
        Self { values: tensor, scales: None, exact: false }
    }

    /// The same, with products made in f32 whatever precision is allowed: f16 would not do for what they come to.
    pub fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Whether products with it are always made in f32.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The weight in f32, converted for the duration of its use where it is stored in f16.
    ///
    /// Burn 0.22 checks no operand types: an f16 buffer next to an f32 one would be read as garbage, so no Burn op
    /// may use the stored tensor directly.
    pub fn f32(&self) -> Tensor<D> {
        match self.dtype() {
            DType::F32 => self.values.clone(),
            DType::F16 => super::wgsl::widen(&self.values).unwrap_or_else(|| self.values.clone().cast(DType::F32)),
            _ => self.values.clone().cast(DType::F32),
        }
    }

    /// Weights that lie one after the other in one buffer of a GPU, as one; none if they do not.
    pub fn joined(parts: &[&Weight<D>]) -> Option<Self> {
        let values: Vec<&Tensor<D>> = parts.iter().map(|part| &part.values).collect();
        let mut shape = values.first()?.dims();
        shape[0] = values.iter().map(|values| values.dims()[0]).sum();
        let exact = parts.iter().any(|part| part.exact);
        Some(Self { exact, ..Self::new(super::wgsl::as_one(&values)?.reshape(shape)) })
    }

    /// Some of the values in f32, of which there are `range.len()` from `range.start` on, row after row. On a GPU no others
    /// are converted.
    pub fn some(&self, range: Range<usize>) -> Tensor<1> {
        let count = self.dims().iter().product::<usize>();
        super::wgsl::widen_some(&self.values, range.clone())
            .unwrap_or_else(|| self.f32().reshape([count]).narrow(0, range.start, range.len()))
    }

    /// The values as they are stored, for kernels that ask how.
    pub(super) fn stored(&self) -> &Tensor<D> {
        &self.values
    }

    /// The scales of a quantised weight, for kernels that bind them beside its values.
    pub(super) fn scales(&self) -> Option<&Tensor<D>> {
        self.scales.as_deref()
    }

    /// The sizes.
    pub fn dims(&self) -> [usize; D] {
        self.values.dims()
    }

    /// How it is stored.
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }
}
