//! In which precision weights are kept.

use crate::embedding::safetensors::Entry;

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As in the file: f16 stays f16 and is widened for the moment of its use.
    #[default]
    AsFile,
    /// Everything as f32: twice the memory, no conversions. Pays for small models.
    F32,
    /// Matrices and tables as f16: half the memory of a file in f32. Vectors stay as they are, and so does a weight with
    /// values that f16 does not have.
    F16,
}

impl Storage {
    /// How one weight is kept.
    pub(super) fn of(self, weight: &Entry) -> Self {
        match self {
            Storage::F16 if weight.shape.len() < 2 => Storage::AsFile,
            storage => storage,
        }
    }
}

/// Bytes of a weight as it will be kept, and whether that is in half precision.
pub fn stored_bytes(weight: &Entry, storage: Storage) -> (u64, bool) {
    let numbers: u64 = weight.shape.iter().product();
    let half = match (weight.dtype.as_str(), storage.of(weight)) {
        ("F16", storage) => storage != Storage::F32,
        (_, storage) => storage == Storage::F16,
    };
    (numbers * if half { 2 } else { 4 }, half)
}
