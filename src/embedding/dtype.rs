//! The number types that files use, and vectors out of their bytes.

use half::{bf16, f16};

/// A type of numbers, as torch and safetensors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// IEEE 754 double precision.
    F64,
    /// Numbers that vectors are not made of, with their size in bytes.
    Whole(usize),
}

impl DType {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::Bf16 => 2,
            DType::F64 => 8,
            DType::Whole(size) => size,
        }
    }

    /// Whether vectors can have this type.
    pub fn is_float(self) -> bool {
        !matches!(self, DType::Whole(_))
    }

    /// A number from its little-endian bytes; none if there are too few, or it is not a float.
    pub fn value(self, bytes: &[u8]) -> Option<f32> {
        use super::cursor::array;
        Some(match self {
            DType::F32 => f32::from_le_bytes(array(bytes, 0)?),
            DType::F16 => f16::from_le_bytes(array(bytes, 0)?).to_f32(),
            DType::Bf16 => bf16::from_le_bytes(array(bytes, 0)?).to_f32(),
            DType::F64 => f64::from_le_bytes(array(bytes, 0)?) as f32,
            DType::Whole(_) => return None,
        })
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DType::F32 => f.write_str("F32"),
            DType::F16 => f.write_str("F16"),
            DType::Bf16 => f.write_str("BF16"),
            DType::F64 => f.write_str("F64"),
            DType::Whole(size) => write!(f, "whole numbers of {} bits", 8 * size),
        }
    }
}
