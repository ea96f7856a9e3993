//! Fetching the header of a weight file, and nothing else of it.

use super::{Header, gguf, safetensors};
use crate::embedding::limits;
use crate::source::Source;
use crate::{Error, Result};

/// What is read of a GGUF file at first, in bytes: more than the header of any model that can be run.
const FIRST: u64 = 512 << 10;

impl Header {
    /// Reads and checks the header of a safetensors file of `length` bytes.
    ///
    /// # Errors
    /// [`Error::BadFile`] if it is not safetensors, or cut off.
    pub async fn read(source: &dyn Source, path: &str, length: u64) -> Result<Self> {
        let first = source.read(path, 0..length.min(8)).await?;
        let rest = match <[u8; 8]>::try_from(first.as_slice()) {
            Ok(size) => {
                let end = u64::from_le_bytes(size).saturating_add(8);
                if end <= length && end <= limits::HEADER { source.read(path, 8..end).await? } else { Vec::new() }
            }
            Err(_) => Vec::new(),
        };
        safetensors::parse(&first, &rest, length).map_err(bad(source, path))
    }

    /// The same of a model that is one file, in safetensors or in GGUF.
    ///
    /// # Errors
    /// [`Error::BadFile`] if it is neither, or cut off.
    pub async fn of_single_file(source: &dyn Source, path: &str, length: u64) -> Result<Self> {
        let magic = source.read(path, 0..length.min(gguf::MAGIC.len() as u64)).await?;
        if magic != gguf::MAGIC {
            return Self::read(source, path, length).await;
        }
        let mut known = FIRST;
        loop {
            let bytes = source.read(path, 0..length.min(known).min(limits::HEADER)).await?;
            if let Some(gguf) = gguf::parse(&bytes, length).map_err(bad(source, path))? {
                return Self::of_gguf(gguf).map_err(bad(source, path));
            }
            known *= 4;
        }
    }
}

/// A file that is refused for a reason.
fn bad(source: &dyn Source, path: &str) -> impl FnOnce(String) -> Error {
    let file = format!("{}/{path}", source.name());
    move |reason| Error::BadFile { file, reason }
}
