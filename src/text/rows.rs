//! The vectors of learned words, kept beside the rows of the vocabulary.

use burn::tensor::{Device, Tensor};

/// Vectors of learned words, in the order of their ids: `[K, D]` on the host.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Row after row.
    pub values: Vec<f32>,
    /// Width of a row.
    pub width: usize,
}

impl Rows {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Rows for several text encoders as one: in each row the columns for all of them, side by side.
    pub fn side_by_side(encoders: &[Rows]) -> Self {
        let width = encoders.iter().map(|rows| rows.width).sum();
        let count = encoders.first().map_or(0, Rows::count);
        let row = |k: usize| encoders.iter().flat_map(move |rows| &rows.values[k * rows.width..(k + 1) * rows.width]);
        Self { values: (0..count).flat_map(row).copied().collect(), width }
    }

    /// The rows on a device; one row of zeros where there are none, so that a tensor exists.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        match self.count() {
            0 => Tensor::zeros([1, self.width], device),
            count => Tensor::<1>::from_floats(self.values.as_slice(), device).reshape([count, self.width]),
        }
    }
}
