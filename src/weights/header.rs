//! What the header of a weight file says: names, types, shapes and places of its tensors.
//!
//! What a header may say is decided where its format is read: in [`embedding::safetensors`](crate::embedding::safetensors), for files
//! of any kind, and in [`gguf`](super::gguf).

use std::collections::BTreeMap;
use std::ops::Range;

use super::gguf::Gguf;
use crate::embedding::safetensors::{Entry, Header as Checked};
use crate::embedding::shown;

/// Names, types, shapes and places of the tensors of a file.
#[derive(Debug)]
pub struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    wrapper: String,
    data: u64,
    is_gguf: bool,
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
    /// That of a safetensors file.
    ///
    /// # Errors
    /// Which name is in it twice.
    pub fn of_safetensors(checked: Checked) -> Result<Self, String> {
        let data = checked.data_start();
        Self::new(checked.tensors, checked.metadata, data, false)
    }

    /// That of a GGUF file.
    ///
    /// # Errors
    /// As for [`Header::of_safetensors`].
    pub fn of_gguf(gguf: Gguf) -> Result<Self, String> {
        Self::new(gguf.tensors, gguf.metadata, gguf.data, true)
    }

    fn new(entries: Vec<Entry>, metadata: BTreeMap<String, String>, data: u64, is_gguf: bool) -> Result<Self, String> {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let wrapper = wrapper(&names).to_owned();
        let mut tensors = BTreeMap::new();
        for mut entry in entries {
            if let Some(name) = entry.name.strip_prefix(&wrapper) {
                entry.name = name.to_owned();
            }
            let name = entry.name.clone();
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(format!("it holds {} twice, once behind {wrapper:?}", shown(&name)));
            }
        }
        Ok(Self { tensors, metadata, wrapper, data, is_gguf })
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

    /// Whether the file is GGUF.
    pub fn is_gguf(&self) -> bool {
        self.is_gguf
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
