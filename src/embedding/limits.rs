//! How much of anything is believed, in one place.
//!
//! A real embedding stays far below every one of these. Together they keep the memory that a file can cost within 64
//! MiB of its size, and the time within seconds.

/// Longest file, in bytes: a slice that was saved without `.clone()` carries the whole table of its model.
pub const FILE: u64 = 512 << 20;

/// Most vectors of an embedding: a prompt has 77 positions, two of them taken.
pub const VECTORS: usize = 75;

/// Widest vector. The widest text encoder in use, T5-XXL, has 4096.
pub const WIDTH: usize = 16_384;

/// Most embeddings in one file.
pub const EMBEDDINGS: usize = 64;

/// Most numbers in all embeddings of a file together.
pub const NUMBERS: u64 = 4 << 20;

/// Longest text that is kept, in bytes.
pub const TEXT: usize = 1 << 20;

/// Longest fact about an embedding that is carried along (a model's name, a recipe), in bytes; longer ones are left
/// out.
pub const FACT: usize = 16 << 10;

/// Most facts about an embedding.
pub const FACTS: usize = 64;

/// Longest `data.pkl`, in bytes.
pub const PICKLE: u64 = 4 << 20;

/// Most opcodes of a pickle.
pub const OPCODES: usize = 1_000_000;

/// Most values on the stack of a pickle, marks counted.
pub const STACK: usize = 10_000;

/// Highest memo slot of a pickle.
pub const MEMO: usize = 100_000;

/// How deep the values of a pickle nest. Real embeddings nest less than 8.
pub const DEPTH: u32 = 100;

/// Most containers, tensors and entries that a pickle may make, all together: what bounds its memory.
pub const VALUES: usize = 200_000;

/// Most records in the zip file of an embedding.
pub const RECORDS: usize = 64;

/// Most records in any zip file that is looked at in order to name it.
pub const ANY_RECORDS: usize = 20_000;

/// Largest compressed record, in bytes when unpacked. torch never compresses: this is for files that were repacked.
pub const INFLATED: u64 = 32 << 20;

/// Longest safetensors header, in bytes; the format allows 100,000,000.
pub const HEADER: u64 = 16 << 20;

/// Most tensors in a safetensors header.
pub const TENSORS: usize = 100_000;

/// Longest JSON inside a picture, in bytes when unpacked: 75 vectors of width 4096 need 7 MB.
pub const JSON: u64 = 16 << 20;

/// Most bytes of decoded pixels that are searched for an embedding.
pub const PIXELS: usize = 40 << 20;
