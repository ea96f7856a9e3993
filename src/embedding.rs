//! A learned word as it is kept and exchanged.
//!
//! The file is what diffusers calls `learned_embeds.safetensors`: one f32 tensor `[K, D]` whose key is the token. What we
//! add is metadata. The header is written by hand with sorted keys, because the `safetensors` crate orders metadata at
//! random and the same word should give the same bytes.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Metadata keys of ours begin with this; `format` is upstream's.
const PREFIX: &str = "pseudoword.";

/// A word and its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// What it is called in prompts.
    pub token: String,
    /// Width of a vector.
    pub width: usize,
    /// The vectors, row after row: `[K, D]`.
    pub rows: Vec<f32>,
    /// Where it comes from: `base-model`, `init`, `steps`, `recipe`, `seed`, ...; the keys of the file without our prefix.
    pub metadata: BTreeMap<String, String>,
}

impl Embedding {
    /// How many vectors there are.
    pub fn vectors(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// The bytes of `learned_embeds.safetensors`; the same for the same word.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let mut metadata: BTreeMap<String, &str> =
            self.metadata.iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.as_str())).collect();
        metadata.insert("format".to_owned(), "pt");
        let tensor = serde_json::json!({
            "dtype": "F32", "shape": [self.vectors(), self.width], "data_offsets": [0, 4 * self.rows.len()],
        });
        let key = serde_json::Value::String(self.token.clone());
        let metadata = serde_json::json!(metadata);
        let mut header = format!("{{\"__metadata__\":{metadata},{key}:{tensor}}}").into_bytes();
        // The data begins at a multiple of eight, as the format recommends.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(self.rows.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Reads what [`Embedding::to_safetensors`] or diffusers wrote. `file` is for messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] if it is not safetensors or not one word.
    pub fn from_safetensors(bytes: &[u8], file: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { file: file.to_owned(), reason };
        // The header alone first: it knows what else the file may be.
        let split = bytes.len().min(8);
        let size = <[u8; 8]>::try_from(&bytes[..split]).map_or(0, u64::from_le_bytes);
        let end = usize::try_from(size.saturating_add(8)).unwrap_or(usize::MAX).min(bytes.len()).max(split);
        let header =
            crate::weights::Header::parse(&bytes[..split], &bytes[split..end], bytes.len() as u64).map_err(bad)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
        let names: Vec<&String> = header.names().collect();
        let [name] = names.as_slice() else {
            let listed: Vec<String> = names.iter().take(8).map(|name| format!("{name:?}")).collect();
            let reason = format!("expected one word, found {} tensors: {}", names.len(), listed.join(", "));
            return Err(bad(reason));
        };
        let view = tensors.tensor(name).map_err(|error| bad(error.to_string()))?;
        let (vectors, width) = match *view.shape() {
            [width] => (1, width),
            [vectors, width] => (vectors, width),
            ref shape => return Err(bad(format!("a word is [K, D] or [D], this is {shape:?}"))),
        };
        if vectors == 0 || width == 0 {
            return Err(bad("it holds no vectors".to_owned()));
        }
        let data = view.data();
        let rows: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => data.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(bad(format!("vectors of type {other:?} are not supported: F32, F16 and BF16 are"))),
        };
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            return Err(bad(format!("value {at} is {}: the file is damaged, or its training went wrong", rows[at])));
        }
        let keys = ["base-model", "model-hash", "init", "steps", "recipe", "seed", "kind", "lr", "version"];
        let metadata = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), header.metadata(&format!("{PREFIX}{key}"))?.to_owned())))
            .collect();
        Ok(Self { token: (*name).clone(), width, rows, metadata })
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.to_safetensors()))
    }

    /// The model family that vectors of a width belong to.
    pub fn family(width: usize) -> &'static str {
        match width {
            768 => "Stable Diffusion 1.x",
            1024 => "Stable Diffusion 2.x",
            1280 => "SDXL's second text encoder, or LDM",
            128 => "pseudoword's mini model",
            _ => "no family that is known",
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_bit_for_bit(
            token in "[^\\s\\p{C}]{1,20}",
            bits in proptest::collection::vec(any::<u32>(), 1..40),
            init in ".{0,20}",
        ) {
            prop_assume!(token != "__metadata__");
            let rows: Vec<f32> =
                bits.into_iter().map(f32::from_bits).map(|v| if v.is_finite() { v } else { 0.5 }).collect();
            let metadata = BTreeMap::from([("init".to_owned(), init)]);
            let word = Embedding { token, width: rows.len(), rows, metadata };
            let bytes = word.to_safetensors();
            prop_assert_eq!(&bytes, &word.to_safetensors());
            let back = Embedding::from_safetensors(&bytes, "test").expect("our own file");
            prop_assert!(back.rows.iter().zip(&word.rows).all(|(a, b)| a.to_bits() == b.to_bits()));
            prop_assert_eq!(back, word);
        }

        #[test]
        fn any_bytes_give_an_answer_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _answer = Embedding::from_safetensors(&bytes, "test");
        }
    }

    #[test]
    fn a_header_of_any_length_is_read() {
        // The file begins with that length: 128 or 640 look like a pickle at first sight, 60 like a web page.
        for length in 0..700 {
            let metadata = BTreeMap::from([("init".to_owned(), "a".repeat(length))]);
            let word = Embedding { token: "<t>".to_owned(), width: 2, rows: vec![1.0, 2.0], metadata };
            assert_eq!(Embedding::from_safetensors(&word.to_safetensors(), "own").unwrap(), word, "{length}");
        }
    }

    #[test]
    fn every_truncation_and_most_bit_flips_are_noticed_or_harmless() {
        let word = Embedding {
            token: "<t>".to_owned(),
            width: 4,
            rows: vec![1.0, -2.0, 3.5, 0.0],
            metadata: BTreeMap::from([("steps".to_owned(), "3".to_owned())]),
        };
        let bytes = word.to_safetensors();
        for end in 0..bytes.len() {
            assert!(Embedding::from_safetensors(&bytes[..end], "cut").is_err(), "cut at {end}");
        }
        for at in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = Embedding::from_safetensors(&flipped, "flipped") {
                assert_eq!(read.rows.len(), read.vectors() * read.width);
            }
        }
    }
}
