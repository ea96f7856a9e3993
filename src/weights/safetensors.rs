//! The header of a safetensors file, read on its own so that the data can follow one tensor at a time.
//!
//! What a header may say is decided in [`embedding::safetensors`](crate::embedding::safetensors), for files of any
//! kind; here it is fetched, and files that were taken for one by mistake are named.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::embedding::limits;
use crate::embedding::safetensors::{Entry, Header as Checked};
use crate::source::Source;
use crate::{Error, Result};

/// Names, types, shapes and places of the tensors of a file.
pub struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    wrapper: String,
    data: u64,
}

/// What programs put before every name: that the weights were one entry among others, or a module around a module.
const WRAPPERS: [&str; 5] = ["state_dict.", "module.", "_orig_mod.", "model.", "unet."];

/// Where the U-Net is in a model that is one file.
const IN_ONE_FILE: &str = "model.diffusion_model.";

/// What stands before all names and is no part of them: [`WRAPPERS`], one after the other.
fn wrapper<'a>(names: &[&'a str]) -> &'a str {
    if names.iter().any(|name| name.starts_with(IN_ONE_FILE)) {
        return "";
    }
    // In one file there may be others beside the model's own names.
    let before = names.iter().find_map(|name| Some(name.split_at(name.find(&format!(".{IN_ONE_FILE}"))? + 1).0));
    if let Some(before) = before {
        return before;
    }
    let Some(first) = names.first() else { return "" };
    let mut length = 0;
    while let Some(more) = WRAPPERS.iter().find(|more| first.get(length..).is_some_and(|rest| rest.starts_with(**more)))
    {
        let longer = &first[..length + more.len()];
        if !names.iter().all(|name| name.starts_with(longer)) {
            break;
        }
        length = longer.len();
    }
    &first[..length]
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
                if end <= length && end <= limits::HEADER { source.read(path, 8..end).await? } else { Vec::new() }
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
        if size > limits::HEADER || size.saturating_add(8) > length {
            return Err(match first {
                b"version " => {
                    "this is a Git LFS pointer, not the file itself: run `git lfs pull`, or download it".to_owned()
                }
                [b'P', b'K', 3, 4, ..] | [0x80, ..] => "this is a PyTorch pickle (.ckpt, .bin), not a safetensors \
                     file; pickles of whole models are not read: get the .safetensors of the same model"
                    .to_owned(),
                [b'G', b'G', b'U', b'F', ..] => {
                    "this is a quantized GGUF model, not a safetensors file: get the .safetensors of the same model"
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
        let data = checked.data_start();
        let names: Vec<&str> = checked.tensors.iter().map(|entry| entry.name.as_str()).collect();
        let wrapper = wrapper(&names).to_owned();
        let mut tensors = BTreeMap::new();
        for mut entry in checked.tensors {
            if let Some(name) = entry.name.strip_prefix(&wrapper) {
                entry.name = name.to_owned();
            }
            let name = entry.name.clone();
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(format!("it holds {name} twice, once behind {wrapper:?}"));
            }
        }
        Ok(Self { tensors, metadata: checked.metadata, wrapper, data })
    }

    /// A tensor's type, shape and place.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name)
    }

    /// All tensors, by their names in order.
    pub fn tensors(&self) -> impl Iterator<Item = &Entry> {
        self.tensors.values()
    }

    /// What stood before every name in the file, and was taken off here.
    pub fn wrapper(&self) -> &str {
        &self.wrapper
    }

    /// What the file says about itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Where in the file a tensor's values are.
    pub fn span(&self, entry: &Entry) -> Range<u64> {
        self.data + entry.offsets[0]..self.data + entry.offsets[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_put_before_every_name_is_taken_off() {
        for (names, expected) in [
            (
                &["state_dict.model.diffusion_model.out.0.bias", "state_dict.first_stage_model.x", "epoch"][..],
                "state_dict.",
            ),
            (&["module.module.conv_in.bias", "module.module.conv_out.bias"], "module.module."),
            (&["_orig_mod.text_model.x", "_orig_mod.text_model.y"], "_orig_mod."),
            (&["model.diffusion_model.out.0.bias"], ""),
            (&["model.conv_in.bias", "conv_out.bias"], ""),
            (&["text_model.x"], ""),
            (&[], ""),
        ] {
            assert_eq!(wrapper(names), expected, "{names:?}");
        }
    }
}
