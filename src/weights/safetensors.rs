//! The header of a safetensors file, read on its own so that the data can follow one tensor at a time.

use std::ops::Range;

use ::safetensors::tensor::{Metadata, TensorInfo};

use crate::source::Source;
use crate::{Error, Result};

/// Longest header that is believed: SD 1.5's is under 200 kB, the format allows 100 MB.
const LONGEST: u64 = 16 << 20;

/// Names, types, shapes and places of the tensors of a file.
pub struct Header {
    metadata: Metadata,
    names: Vec<String>,
    data: u64,
}

impl Header {
    /// Reads and checks the header of a file of `length` bytes.
    ///
    /// # Errors
    /// [`Error::BadFile`] if it is not safetensors, or cut off.
    pub async fn read(source: &dyn Source, path: &str, length: u64) -> Result<Self> {
        let first = source.read(path, 0..length.min(8)).await?;
        let rest = match <[u8; 8]>::try_from(first.as_slice()) {
            Ok(size) => {
                let end = u64::from_le_bytes(size).saturating_add(8);
                if end <= length && end <= LONGEST { source.read(path, 8..end).await? } else { Vec::new() }
            }
            Err(_) => Vec::new(),
        };
        Self::parse(&first, &rest, length)
            .map_err(|reason| Error::BadFile { file: format!("{}/{path}", source.name()), reason })
    }

    /// Checks a header given as the first eight bytes and what follows them, against the length of the file.
    fn parse(first: &[u8], json: &[u8], length: u64) -> Result<Self, String> {
        if length == 0 {
            return Err("the file is empty".to_owned());
        }
        let size = <[u8; 8]>::try_from(first).map(u64::from_le_bytes).unwrap_or(u64::MAX);
        // Only what cannot be a header is taken for something else: a length may begin with any byte.
        if size > LONGEST || size.saturating_add(8) > length {
            return Err(match first {
                b"version " => {
                    "this is a Git LFS pointer, not the file itself: run `git lfs pull`, or download it".to_owned()
                }
                [b'P', b'K', 3, 4, ..] | [0x80, ..] => "this is a PyTorch pickle, not a safetensors file".to_owned(),
                _ if first.trim_ascii_start().starts_with(b"<") => {
                    "this is a web page, not a safetensors file: the download failed".to_owned()
                }
                [_, _, _, _, _, _, _, _] => {
                    format!("not a safetensors file, or cut off: a header of {size} bytes in {length}")
                }
                _ => format!("not a safetensors file: it has only {length} bytes"),
            });
        }
        let metadata: Metadata =
            serde_json::from_slice(json).map_err(|error| format!("not a safetensors file: {error}"))?;
        let tensors = metadata.tensors();
        let end = tensors.values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        let data = 8 + size;
        if data + end != length {
            return Err(format!(
                "cut off or damaged: the header describes {} bytes, the file has {length}",
                data + end
            ));
        }
        let mut names: Vec<String> = tensors.into_keys().collect();
        names.sort();
        Ok(Self { metadata, names, data })
    }

    /// A tensor's type, shape and place.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// Where in the file a tensor's values are.
    pub fn span(&self, info: &TensorInfo) -> Range<u64> {
        self.data + info.data_offsets.0 as u64..self.data + info.data_offsets.1 as u64
    }
}
