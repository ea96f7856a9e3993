//! In which form weights are kept: what is asked for ([`Storage`]), and what that means for each weight ([`Stored`]).

use burn::tensor::DType;
use half::f16;

use crate::embedding::safetensors::Entry;
use crate::parts::Precision;

/// How weights are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As in the file: f16 stays f16 and is widened only while it is used.
    #[default]
    AsFile,
    /// Everything as f32: twice the memory, no conversions. Pays for small models.
    F32,
    /// Matrices and tables as f16: half the memory of a file in f32. Vectors stay as they are, and so does a weight
    /// with values that f16 does not have.
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

/// In which form the values of a weight are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stored {
    /// As f32, which is what is computed with.
    #[default]
    F32,
    /// As f16.
    F16,
}

impl Stored {
    /// How values of a type in a file (one of [`FLOATS`](super::values::FLOATS)) are stored, where one weight is kept
    /// in this way.
    pub(super) fn of(dtype: &str, storage: Storage) -> Self {
        match (dtype, storage) {
            ("F16", Storage::AsFile) | (_, Storage::F16) => Stored::F16,
            _ => Stored::F32,
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Stored::F32 => 4,
            Stored::F16 => 2,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Stored::F32 => "f32",
            Stored::F16 => "f16",
        }
    }

    /// The type of a tensor on a device.
    pub fn dtype(self) -> DType {
        match self {
            Stored::F32 => DType::F32,
            Stored::F16 => DType::F16,
        }
    }

    /// How the values of a tensor on a device are stored.
    pub fn of_tensor(dtype: DType) -> Self {
        if dtype == DType::F16 { Stored::F16 } else { Stored::F32 }
    }

    /// The form that takes less memory.
    pub fn narrower(self, other: Self) -> Self {
        if other.bytes() < self.bytes() { other } else { self }
    }

    /// Values as f32, from little-endian bytes.
    pub fn widen(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Stored::F32 => bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            Stored::F16 => bytes.as_chunks::<2>().0.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect(),
        }
    }
}

impl From<Precision> for Stored {
    /// What the name of a file says about its values.
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Full => Stored::F32,
            Precision::Half => Stored::F16,
        }
    }
}

/// Bytes of a weight as it will be kept, and their form.
pub fn stored_bytes(weight: &Entry, storage: Storage) -> (u64, Stored) {
    let stored = Stored::of(&weight.dtype, storage.of(weight));
    (weight.shape.iter().product::<u64>() * stored.bytes() as u64, stored)
}
