//! In which form weights are kept: what is asked for ([`Storage`]), and what that means for each weight ([`Stored`]).

use burn::tensor::DType;
use half::f16;

use super::packed;
use crate::base::eight_bits::{BLOCK, BLOCK_BYTES, widened};
use crate::embedding::safetensors::Entry;
use crate::parts::{Part, Precision};

/// Matrices that are never kept in eight bits, by the ends of their names: of what the last convolution makes, every
/// rounding is seen, and positions are few.
const NEVER_IN_EIGHT_BITS: [&str; 2] = ["conv_out.weight", "position_embedding.weight"];

/// How weights are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As in the file: f16 stays f16 and is widened only while it is used.
    #[default]
    AsFile,
    /// Everything as f32: twice the memory, no conversions. Pays for small models.
    F32,
    /// Matrices and tables as f16: half the memory of a file in f32. Vectors stay as they are, and so does a weight
    /// with values that f16 does not have, or that is in eight bits in the file.
    F16,
    /// Linear layers, convolutions and token tables in eight bits: a quarter of the memory of a file in f32, and a little
    /// more. What is left of the matrices is kept as with [`Storage::F16`]: the whole autoencoder, whose pictures show
    /// rounding, and rows that are not whole blocks.
    Q8,
}

impl Storage {
    /// What it is called where it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Storage::AsFile => "file",
            Storage::F32 => Stored::F32.name(),
            Storage::F16 => Stored::F16.name(),
            Storage::Q8 => Stored::Q8.name(),
        }
    }

    /// How one weight of a part is kept.
    pub(super) fn of(self, part: Part, weight: &Entry) -> Self {
        match self {
            Storage::F16 | Storage::Q8 if weight.shape.len() < 2 => Storage::AsFile,
            Storage::Q8 if !may_be_in_eight_bits(part, weight) => Storage::F16,
            storage => storage,
        }
    }
}

/// Whether a matrix may be kept in eight bits. Blocks lie along its inputs: a convolution's are those of a tap.
fn may_be_in_eight_bits(part: Part, weight: &Entry) -> bool {
    let inputs = weight.shape.get(1).copied().unwrap_or(0);
    let is_left = NEVER_IN_EIGHT_BITS.iter().any(|end| weight.name.ends_with(end));
    part != Part::Vae && inputs.is_multiple_of(BLOCK as u64) && !is_left
}

/// In which form the values of a weight are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stored {
    /// As f32, which is what is computed with.
    #[default]
    F32,
    /// As f16.
    F16,
    /// In eight bits, with a scale in f16 for each block (`docs/Q8.md`).
    Q8,
}

impl Stored {
    /// How values of a type in a file (one of [`FLOATS`](super::values::FLOATS)) are stored, where one weight is kept
    /// in this way.
    pub(super) fn of(dtype: &str, storage: Storage) -> Self {
        match (dtype, storage) {
            (_, Storage::Q8) | (packed::TYPE, Storage::AsFile | Storage::F16) => Stored::Q8,
            ("F16", Storage::AsFile) | (_, Storage::F16) => Stored::F16,
            _ => Stored::F32,
        }
    }

    /// Bytes of so many values, which are whole blocks where they are stored in blocks.
    pub fn bytes_of(self, values: u64) -> u64 {
        match self {
            Stored::F32 => 4 * values,
            Stored::F16 => 2 * values,
            Stored::Q8 => values / BLOCK as u64 * BLOCK_BYTES as u64,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Stored::F32 => "f32",
            Stored::F16 => "f16",
            Stored::Q8 => "q8",
        }
    }

    /// The type of a tensor on a device.
    pub fn dtype(self) -> DType {
        match self {
            Stored::F32 => DType::F32,
            Stored::F16 => DType::F16,
            Stored::Q8 => DType::I8,
        }
    }

    /// How the values of a tensor on a device are stored.
    pub fn of_tensor(dtype: DType) -> Self {
        match dtype {
            DType::F16 => Stored::F16,
            DType::I8 => Stored::Q8,
            _ => Stored::F32,
        }
    }

    /// The form that takes less memory.
    pub fn narrower(self, other: Self) -> Self {
        let bytes = |stored: Self| stored.bytes_of(BLOCK as u64);
        if bytes(other) < bytes(self) { other } else { self }
    }

    /// Values as f32, from little-endian bytes; those of a block come after its scale.
    pub fn widen(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Stored::F32 => bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            Stored::F16 => bytes.as_chunks::<2>().0.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect(),
            Stored::Q8 => {
                let wide = |[low, high, values @ ..]: &[u8; BLOCK_BYTES]| {
                    widened(f16::from_le_bytes([*low, *high]), values.map(|value| value as i8))
                };
                bytes.as_chunks::<BLOCK_BYTES>().0.iter().flat_map(wide).collect()
            }
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

/// Bytes of a weight of a part as it will be kept, and their form.
pub(super) fn stored_bytes(part: Part, weight: &Entry, storage: Storage) -> (u64, Stored) {
    let stored = Stored::of(&weight.dtype, storage.of(part, weight));
    (stored.bytes_of(weight.shape.iter().product::<u64>()), stored)
}
