//! What `torch.save` writes: a zip file with a pickle and storages in it, or the stream of the time before torch 1.6.

mod archive;
mod gather;
mod legacy;
mod nested;
mod state;

use super::learned::{Container, Note, Reading};
use super::pickle::value::Storage;
use super::refusal::Refusal;

/// How a legacy stream begins: PROTO 2 and the magic number `0x1950a86a20f9469cfc6c` (`torch/serialization.py`).
pub const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

/// Where the numbers of storages are.
trait Storages {
    /// The bytes of a storage: as many as its numbers take.
    fn bytes(&self, storage: &Storage<'_>) -> Result<std::borrow::Cow<'_, [u8]>, Refusal>;

    /// Whether numbers begin with their highest byte.
    fn big_endian(&self) -> bool;
}

/// Reads a zip file. `stem` is the file's name without folder and extension.
///
/// # Errors
/// Any [`Refusal`] but those about choosing and writing.
pub fn read_zip(bytes: &[u8], stem: &str) -> Result<Reading, Refusal> {
    let archive = archive::Torch::open(bytes)?;
    let pickle = archive.pickle()?;
    let unpickled = archive.unpickle(&pickle)?;
    let mut reading = state::words(&unpickled, &archive, Container::Torch, stem)?;
    add_notes(&mut reading, archive.notes());
    Ok(reading)
}

/// Reads a legacy stream. `stem` is the file's name without folder and extension.
///
/// # Errors
/// Any [`Refusal`] but those about choosing and writing.
pub fn read_legacy(bytes: &[u8], stem: &str) -> Result<Reading, Refusal> {
    let stream = legacy::LegacyStream::open(bytes)?;
    state::words(stream.object(), &stream, Container::TorchLegacy, stem)
}

fn add_notes(reading: &mut Reading, notes: &[Note]) {
    for word in reading.embeddings_mut() {
        word.notes.extend_from_slice(notes);
    }
}
