//! A table that stays on the host.

use super::Stored;
use crate::base::math::norm;

/// A table of rows on the host, as the file has them: the token embeddings, of which a prompt needs a few.
#[derive(Debug, Clone)]
pub struct HostTable {
    bytes: Vec<u8>,
    stored: Stored,
    width: usize,
}

impl HostTable {
    /// A table of rows `width` wide, little-endian.
    pub(super) fn new(bytes: Vec<u8>, stored: Stored, width: usize) -> Self {
        Self { bytes, stored, width }
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.row_bytes()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A row in f32; zeros beyond the end.
    pub fn row(&self, index: usize) -> Vec<f32> {
        let size = self.row_bytes();
        match self.bytes.get(index * size..(index + 1) * size) {
            Some(bytes) => self.stored.widen(bytes),
            None => vec![0.0; self.width],
        }
    }

    /// Euclidean norms of the rows that are not zero.
    pub fn row_norms(&self) -> Vec<f64> {
        (0..self.len()).map(|row| norm(&self.row(row))).filter(|norm| *norm > 0.0).collect()
    }

    fn row_bytes(&self) -> usize {
        self.width * self.stored.bytes()
    }
}
