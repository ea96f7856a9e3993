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

    /// What [`side_by_side`](Self::side_by_side) made one, apart again, by the widths of the encoders.
    pub fn apart(&self, widths: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut start = 0;
        let columns = widths.map(|width| {
            let span = start..start + width;
            start = span.end;
            let values = self.values.chunks_exact(self.width.max(1)).flat_map(|row| &row[span.clone()]).copied();
            Self { values: values.collect(), width }
        });
        columns.collect()
    }

    /// The rows on a device; one row of zeros where there are none, so that a tensor exists.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        match self.count() {
            0 => Tensor::zeros([1, self.width], device),
            count => Tensor::<1>::from_floats(self.values.as_slice(), device).reshape([count, self.width]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_two_encoders_stand_side_by_side_and_come_apart_again() {
        let encoders = [Rows { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 }, Rows { values: vec![5.0, 6.0], width: 1 }];
        let one = Rows::side_by_side(&encoders);
        assert_eq!((one.width, one.count()), (3, 2));
        assert_eq!(one.values, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        let apart = one.apart([2, 1].into_iter());
        assert!(apart.iter().zip(&encoders).all(|(a, b)| a.values == b.values && a.width == b.width));
    }
}
