//! A table that stays on the host.

use std::ops::Range;

use super::Stored;
use crate::base::math::norm;

/// A table of rows on the host, as the file has them or in eight bits: the token embeddings, of which a prompt needs a few.
#[derive(Debug, Clone)]
pub struct HostTable {
    bytes: Held,
    stored: Stored,
    width: usize,
}

/// Bytes in the program's memory.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone)]
struct Held(Vec<u8>);

#[cfg(not(target_family = "wasm"))]
impl Held {
    fn new(length: usize) -> Self {
        Self(Vec::with_capacity(length))
    }

    fn push(&mut self, _at: usize, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    fn length(&self) -> usize {
        self.0.len()
    }

    fn widened(&self, span: Range<usize>, stored: Stored) -> Option<Vec<f32>> {
        self.0.get(span).map(|bytes| stored.widen(bytes))
    }
}

/// Bytes in the browser's memory, beside the engine's own: that has bounds, never shrinks, and SDXL's two tables alone would take
/// 200 MB of it.
#[cfg(target_family = "wasm")]
#[derive(Debug, Clone)]
struct Held(js_sys::Uint8Array);

#[cfg(target_family = "wasm")]
impl Held {
    fn new(length: usize) -> Self {
        Self(js_sys::Uint8Array::new_with_length(length as u32))
    }

    fn push(&mut self, at: usize, piece: &[u8]) {
        self.0.subarray(at as u32, (at + piece.len()) as u32).copy_from(piece);
    }

    fn length(&self) -> usize {
        self.0.length() as usize
    }

    fn widened(&self, span: Range<usize>, stored: Stored) -> Option<Vec<f32>> {
        let inside = span.end <= self.length();
        inside.then(|| stored.widen(&self.0.subarray(span.start as u32, span.end as u32).to_vec()))
    }
}

/// A table while its rows come.
pub(super) struct Filling {
    table: HostTable,
    come: usize,
}

impl Filling {
    /// Adds bytes, little-endian.
    pub fn push(&mut self, piece: &[u8]) {
        self.table.bytes.push(self.come, piece);
        self.come += piece.len();
    }

    pub fn whole(self) -> HostTable {
        self.table
    }
}

impl HostTable {
    /// A table of so many rows `width` wide, which come piece by piece.
    pub(super) fn filling(rows: usize, stored: Stored, width: usize) -> Filling {
        let bytes = Held::new(stored.bytes_of((rows * width) as u64) as usize);
        Filling { table: Self { bytes, stored, width }, come: 0 }
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.length() / self.row_bytes()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.length() == 0
    }

    /// A row in f32; zeros beyond the end.
    pub fn row(&self, index: usize) -> Vec<f32> {
        let size = self.row_bytes();
        let row = self.bytes.widened(index * size..(index + 1) * size, self.stored);
        row.unwrap_or_else(|| vec![0.0; self.width])
    }

    /// Euclidean norms of the rows that are not zero.
    pub fn row_norms(&self) -> Vec<f64> {
        (0..self.len()).map(|row| norm(&self.row(row))).filter(|norm| *norm > 0.0).collect()
    }

    fn row_bytes(&self) -> usize {
        self.stored.bytes_of(self.width as u64) as usize
    }
}
