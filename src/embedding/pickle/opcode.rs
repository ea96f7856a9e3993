//! The opcodes: those that torch's `weights_only` reader takes, and the four more that protocol 4 needs.

/// What an opcode byte means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Proto,
    Frame,
    Stop,
    Global,
    StackGlobal,
    Reduce,
    NewObj,
    Build,
    PersistentId,
    Mark,
    EmptyDict,
    SetItem,
    SetItems,
    EmptyList,
    Append,
    Appends,
    EmptySet,
    Tuple,
    /// A tuple of the topmost 0, 1, 2 or 3 values.
    TupleOf(usize),
    None,
    Bool(bool),
    /// An unsigned number of 1 or 2 bytes.
    Small(usize),
    Int,
    Long1,
    Float,
    /// Text after a length of 1 or 4 bytes.
    Text(usize),
    /// Stores the top of the stack in the slot that 1 or 4 bytes name.
    Put(usize),
    /// Stores it in the next free slot.
    Memoize,
    /// Fetches from the slot that 1 or 4 bytes name.
    Get(usize),
}

/// Looks an opcode byte up.
pub(super) fn lookup(byte: u8) -> Option<Op> {
    Some(match byte {
        0x80 => Op::Proto,
        0x95 => Op::Frame,
        b'.' => Op::Stop,
        b'c' => Op::Global,
        0x93 => Op::StackGlobal,
        b'R' => Op::Reduce,
        0x81 => Op::NewObj,
        b'b' => Op::Build,
        b'Q' => Op::PersistentId,
        b'(' => Op::Mark,
        b'}' => Op::EmptyDict,
        b's' => Op::SetItem,
        b'u' => Op::SetItems,
        b']' => Op::EmptyList,
        b'a' => Op::Append,
        b'e' => Op::Appends,
        0x8f => Op::EmptySet,
        b't' => Op::Tuple,
        b')' => Op::TupleOf(0),
        0x85 => Op::TupleOf(1),
        0x86 => Op::TupleOf(2),
        0x87 => Op::TupleOf(3),
        b'N' => Op::None,
        0x88 => Op::Bool(true),
        0x89 => Op::Bool(false),
        b'K' => Op::Small(1),
        b'M' => Op::Small(2),
        b'J' => Op::Int,
        0x8a => Op::Long1,
        b'G' => Op::Float,
        b'X' => Op::Text(4),
        b'U' | 0x8c => Op::Text(1),
        b'q' => Op::Put(1),
        b'r' => Op::Put(4),
        0x94 => Op::Memoize,
        b'h' => Op::Get(1),
        b'j' => Op::Get(4),
        _ => return None,
    })
}

/// What Python calls an opcode that is not taken.
pub(super) fn name(byte: u8) -> &'static str {
    match byte {
        b'i' => "INST",
        b'o' => "OBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x92 => "NEWOBJ_EX",
        b'P' => "PERSID",
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'T' => "BINSTRING",
        b'B' => "BINBYTES",
        b'C' => "SHORT_BINBYTES",
        0x8e => "BINBYTES8",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x8b => "LONG4",
        0x8d => "BINUNICODE8",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        b'I' => "INT",
        b'L' => "LONG",
        b'F' => "FLOAT",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'd' => "DICT",
        b'l' => "LIST",
        b'p' => "PUT",
        b'g' => "GET",
        _ => "no opcode of any pickle",
    }
}
