//! A table that stays on the host.

use half::f16;

/// A table of rows on the host, as the file has them: the token embeddings, of which a prompt needs a few.
#[derive(Debug, Clone)]
pub struct HostTable {
    bytes: Vec<u8>,
    half: bool,
    width: usize,
}

impl HostTable {
    /// A table of rows `width` wide, f16 if `half`, else f32, little-endian.
    pub(super) fn new(bytes: Vec<u8>, half: bool, width: usize) -> Self {
        Self { bytes, half, width }
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / (self.width * if self.half { 2 } else { 4 })
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A row in f32; zeros beyond the end.
    pub fn row(&self, index: usize) -> Vec<f32> {
        let size = self.width * if self.half { 2 } else { 4 };
        let Some(bytes) = self.bytes.get(index * size..(index + 1) * size) else { return vec![0.0; self.width] };
        match self.half {
            true => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            false => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        }
    }
}
