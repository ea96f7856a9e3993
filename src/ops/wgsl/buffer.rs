//! The buffers of a kernel: what may be stored in them, and how it is read and written.

use burn::tensor::DType;

/// A buffer of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buffer {
    /// What the shader calls it: it has `NAME_at` or, of a result, `NAME_set`.
    pub name: &'static str,
    pub role: Role,
    /// In which rows its values lie, which decides whether they are read four at a time.
    pub row: Row,
}

/// What a buffer is to its kernel: what may be stored in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Computed values, f32.
    Activation,
    /// Computed values, f32, or no buffer.
    OptionalActivation,
    /// A frozen matrix: f32 or f16 as the model's file has it, or in eight bits.
    Matrix,
    /// Frozen values, f32 or f16 as the model's file has them.
    Factor,
    /// Frozen values, f32 or f16 as the model's file has them, or no buffer.
    OptionalFactor,
    /// No buffer, in a kernel whose file is also that of another, which has it.
    Absent,
    /// Values stored as f16 or in eight bits.
    Narrow,
    /// What the kernel writes, f32.
    Result,
}

impl Role {
    /// What may be stored in the buffer; none where there may be no buffer.
    pub fn storages(self) -> &'static [Option<DType>] {
        match self {
            Role::Activation | Role::Result => &[Some(DType::F32)],
            Role::OptionalActivation => &[None, Some(DType::F32)],
            Role::Matrix => &[Some(DType::F32), Some(DType::F16), Some(DType::I8)],
            Role::Factor => &[Some(DType::F32), Some(DType::F16)],
            Role::OptionalFactor => &[None, Some(DType::F32), Some(DType::F16)],
            Role::Absent => &[None],
            Role::Narrow => &[Some(DType::F16), Some(DType::I8)],
        }
    }

    /// The same in words.
    pub fn described(self) -> &'static str {
        match self {
            Role::Activation => "f32",
            Role::OptionalActivation => "f32 or none",
            Role::Matrix => "f32, f16 or q8",
            Role::Factor => "f32 or f16",
            Role::OptionalFactor => "f32, f16 or none",
            Role::Absent => "none",
            Role::Narrow => "f16 or q8",
            Role::Result => "f32, written",
        }
    }
}

/// The rows in which a buffer's values lie: always a multiple of a row's values is used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Rows as long as this axis of the launch, counted as [`Kernel::launch`](super::kernel::Kernel::launch) gets the axes.
    Axis(usize),
    /// Rows of a multiple of four values in every launch.
    Fours,
    /// Rows of a single value.
    Ones,
}

/// How a buffer's values are stored and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BufferFormat {
    /// There is no such buffer.
    None,
    F32x4,
    F32x1,
    F16x4,
    F16x1,
    /// In eight bits: rows are whole blocks, so they are always read in fours.
    Q8x4,
}

impl BufferFormat {
    /// How values of this type are read; none if they cannot lie in rows that are not multiples of four.
    pub fn of(storage: Option<DType>, by_fours: bool) -> Option<Self> {
        Some(match (storage, by_fours) {
            (None, _) => BufferFormat::None,
            (Some(DType::I8), true) => BufferFormat::Q8x4,
            (Some(DType::I8), false) => return None,
            (Some(DType::F16), true) => BufferFormat::F16x4,
            (Some(DType::F16), false) => BufferFormat::F16x1,
            (Some(_), true) => BufferFormat::F32x4,
            (Some(_), false) => BufferFormat::F32x1,
        })
    }

    /// How many bindings a buffer takes. One that is quantised takes two: its values and, at the binding after that,
    /// their scales.
    pub fn bindings(self) -> u32 {
        match self {
            BufferFormat::None => 0,
            BufferFormat::F32x4 | BufferFormat::F32x1 | BufferFormat::F16x4 | BufferFormat::F16x1 => 1,
            BufferFormat::Q8x4 => 2,
        }
    }

    /// The part of the text that declares the buffer and reads it.
    pub fn reader(self) -> &'static str {
        match self {
            BufferFormat::None => "shared/read_none",
            BufferFormat::F32x4 => "shared/read_f32x4",
            BufferFormat::F32x1 => "shared/read_f32x1",
            BufferFormat::F16x4 => "shared/read_f16x4",
            BufferFormat::F16x1 => "shared/read_f16x1",
            BufferFormat::Q8x4 => "shared/read_q8x4",
        }
    }

    /// The part of the text that declares the buffer and writes it. Results are always f32.
    pub fn writer(self) -> &'static str {
        match self {
            BufferFormat::F32x4 | BufferFormat::F16x4 | BufferFormat::Q8x4 => "shared/write_f32x4",
            _ => "shared/write_f32x1",
        }
    }

    pub fn described(self) -> &'static str {
        match self {
            BufferFormat::None => "none",
            BufferFormat::F32x4 => "f32 in fours",
            BufferFormat::F32x1 => "f32",
            BufferFormat::F16x4 => "f16 in fours",
            BufferFormat::F16x1 => "f16",
            BufferFormat::Q8x4 => "q8 in fours",
        }
    }
}
