//! The header of a safetensors file, read on its own so that the data can follow one tensor at a time; files that were taken for
//! one by mistake are named.

use super::Header;
use crate::embedding::limits;
use crate::embedding::safetensors::Header as Checked;

/// Checks a header given as the first eight bytes and what follows them, against the length of the file.
///
/// # Errors
/// What is wrong with it, or what the file is instead.
pub fn parse(first: &[u8], json: &[u8], length: u64) -> Result<Header, String> {
    if length == 0 {
        return Err("the file is empty".to_owned());
    }
    let size = <[u8; 8]>::try_from(first).map(u64::from_le_bytes).unwrap_or(u64::MAX);
    // Only what cannot be a header is taken for something else: a length may begin with any byte.
    if size > limits::HEADER || size.saturating_add(8) > length {
        return Err(match first {
            b"version " => {
                "this is a Git LFS pointer, not the file itself: run `git lfs pull`, or download it".to_owned()
            }
            [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => "this is a PyTorch pickle (.ckpt, .bin), not a safetensors \
                 file; pickles of whole models are not read: get the .safetensors of the same model"
                .to_owned(),
            [b'G', b'G', b'U', b'F', ..] => {
                "this is a GGUF file, not a safetensors file: a whole model in GGUF is given by its own path, and a \
                     folder has .safetensors files"
                    .to_owned()
            }
            _ if first.trim_ascii_start().starts_with(b"<") => {
                "this is a web page, not a safetensors file: the download failed".to_owned()
            }
            _ if first.trim_ascii_start().starts_with(b"{") => {
                "this is JSON text, not a safetensors file: give the folder that it describes a part of, or a \
                 .safetensors file"
                    .to_owned()
            }
            [_, _, _, _, _, _, _, _] => {
                format!("not a safetensors file, or cut off: a header of {size} bytes in {length}")
            }
            _ => format!("not a safetensors file: it has only {length} bytes"),
        });
    }
    let checked = Checked::parse(json, length - 8 - size).map_err(|refusal| refusal.to_string())?;
    Header::of_safetensors(checked)
}
