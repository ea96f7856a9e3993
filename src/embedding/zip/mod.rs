//! Zip files in memory, read so strictly that there is one way to read them.
//!
//! Sources: PKWARE APPNOTE 6.3.10; `caffe2/serialize/inline_container.cc` for what torch makes of such a file. Zip
//! readers disagree about files that break the rules, and what a scanner has seen may then not be what a loader
//! loads. So every byte has to belong to exactly one thing: the records tile the file from its first byte to the
//! directory, the directory reaches to the end record, the end record to the end. Nothing is repaired and no side is
//! picked.

mod directory;
mod local;

use std::borrow::Cow;
use std::io::Read;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::refusal::{Refusal, shown};

/// How a record is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// RFC 1951.
    Deflated,
}

/// A record of an archive, as its directory describes it.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The whole name, with its folders.
    pub name: &'a str,
    /// How it is packed.
    pub method: Method,
    /// Bytes when unpacked. Not believed: [`Archive::read`] compares.
    pub size: u64,
    /// CRC-32 of the unpacked bytes; 0 says that there is none (`torch.serialization.set_crc32_options(False)`).
    pub crc: u32,
    packed: &'a [u8],
}

/// A zip file whose directory and local headers agree.
#[derive(Debug)]
pub struct Archive<'a> {
    records: Vec<Record<'a>>,
}

impl<'a> Archive<'a> {
    /// Checks the structure of a whole file; nothing is unpacked.
    ///
    /// # Errors
    /// [`Refusal::Cut`], [`Refusal::Damaged`], [`Refusal::Ambiguous`], [`Refusal::Unsupported`] or
    /// [`Refusal::TooMuch`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let directory = directory::find(bytes)?;
        let entries = directory::entries(bytes, &directory)?;
        let records = local::records(bytes, entries, directory.start)?;
        Ok(Self { records })
    }

    /// The records, in the order of the directory.
    pub fn records(&self) -> &[Record<'a>] {
        &self.records
    }

    /// The record of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Record<'a>> {
        self.records.iter().find(|record| record.name == name)
    }

    /// Unpacks a record of at most `limit` bytes. Stored records are borrowed.
    ///
    /// # Errors
    /// [`Refusal::TooMuch`] before anything is unpacked; [`Refusal::Damaged`] if size or CRC-32 are not what they
    /// should be.
    pub fn read(&self, record: &Record<'a>, limit: u64) -> Result<Cow<'a, [u8]>, Refusal> {
        if record.size > limit {
            return Err(Refusal::too_much(format!("bytes in {}", shown(record.name)), record.size, limit));
        }
        let bytes = match record.method {
            Method::Stored => Cow::Borrowed(record.packed),
            Method::Deflated => Cow::Owned(inflate(record)?),
        };
        if record.crc != 0 {
            let mut crc = Crc::new();
            crc.update(&bytes);
            if crc.sum() != record.crc {
                let reason = format!("its CRC-32 is {:08x}, the archive says {:08x}", crc.sum(), record.crc);
                return Err(Refusal::damaged(shown(record.name), reason));
            }
        }
        Ok(bytes)
    }
}

/// Unpacks as many bytes as the directory promises, which must be all there are.
fn inflate(record: &Record<'_>) -> Result<Vec<u8>, Refusal> {
    let bad = |reason: &str| Refusal::damaged(shown(record.name), reason);
    // Deflate packs 1032 to 1 at best (RFC 1951: 258 bytes in two bits), so a larger promise need not be tried.
    let possible = (record.packed.len() as u64).saturating_mul(1032);
    if record.size > possible {
        return Err(bad("it cannot unpack to the size that the archive states"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(record.size).unwrap_or_default());
    let mut decoder = DeflateDecoder::new(record.packed).take(record.size.saturating_add(1));
    decoder.read_to_end(&mut bytes).map_err(|_| bad("its compressed bytes cannot be unpacked"))?;
    if bytes.len() as u64 != record.size {
        return Err(bad("it does not unpack to the size that the archive states"));
    }
    if decoder.into_inner().total_in() != record.packed.len() as u64 {
        return Err(bad("bytes are left over after its compressed data"));
    }
    Ok(bytes)
}
