//! Which files hold the weights of a part of a model: one, or several with an index, as diffusers and transformers name
//! them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::parts::{Part, Precision};
use crate::source::address::is_safe_path;
use crate::source::{Source, read_text};
use crate::{Error, Result};

/// `*.safetensors.index.json`: which file holds which weight.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files with a part's weights; none if there are no such files.
///
/// # Errors
/// [`Error::BadFile`] for an index that cannot be read, [`Error::ModelPartMissing`] for one whose files are not all
/// there.
pub async fn find(source: &dyn Source, part: Part) -> Result<Option<Vec<String>>> {
    for paths in Precision::ALL.into_iter().filter_map(|precision| part.weights(precision)) {
        if source.length(&paths.whole).await?.is_some() {
            return Ok(Some(vec![paths.whole]));
        }
        for index in paths.indices {
            if let Some(text) = read_text(source, &index).await? {
                return shards(source, part, &index, &text).await.map(Some);
            }
        }
    }
    Ok(None)
}

/// As [`find`], where there must be some.
///
/// # Errors
/// [`Error::ModelPartMissing`] if there are none, and those of [`find`].
pub async fn expect(source: &dyn Source, part: Part) -> Result<Vec<String>> {
    if let Some(files) = find(source, part).await? {
        return Ok(files);
    }
    let folder = part.folder();
    let wholes = Precision::ALL.into_iter().filter_map(|precision| Some(part.weights(precision)?.whole));
    let mut expected = format!("{}, or an index of several", wholes.collect::<Vec<_>>().join(" or "));
    for pickle in ["pytorch_model.bin", "diffusion_pytorch_model.bin"] {
        if source.length(&format!("{folder}/{pickle}")).await?.is_some() {
            expected =
                format!("{expected}; {folder}/{pickle} is a pickle, which is not read: convert it to safetensors");
        }
    }
    Err(Error::ModelPartMissing { model: source.name(), part: format!("{part} weights"), expected })
}

/// The files that an index names.
async fn shards(source: &dyn Source, part: Part, index: &str, text: &str) -> Result<Vec<String>> {
    let bad = |reason: String| Error::BadFile { file: format!("{}/{index}", source.name()), reason };
    let parsed: Index = serde_json::from_str(text).map_err(|error| bad(format!("this is not an index: {error}")))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(bad("it names no files".to_owned()));
    }
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        if !is_safe_path(&name) || !name.ends_with(".safetensors") {
            return Err(bad(format!("it names {name:?}, which is not a safetensors file beside it")));
        }
        let path = format!("{}/{name}", part.folder());
        if source.length(&path).await?.is_none() {
            return Err(Error::ModelPartMissing {
                model: source.name(),
                part: format!("{part} weights"),
                expected: format!("{path}, which {index} names"),
            });
        }
        files.push(path);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;

    fn found(files: &[(&str, &str)]) -> Result<Option<Vec<String>>> {
        let mut memory = Memory::new("m");
        for (path, text) in files {
            memory.insert(*path, text.as_bytes().to_vec());
        }
        pollster::block_on(find(&memory, Part::Unet))
    }

    const INDEX: &str = r#"{"metadata": {"total_size": 8}, "weight_map": {
        "a": "diffusion_pytorch_model-00002-of-00002.safetensors",
        "b": "diffusion_pytorch_model-00001-of-00002.safetensors",
        "c": "diffusion_pytorch_model-00002-of-00002.safetensors"}}"#;

    #[test]
    fn one_file_is_preferred_to_several_and_full_precision_to_half() {
        let (whole, half) =
            ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors");
        assert_eq!(found(&[(half, ""), (whole, "")]).unwrap().unwrap(), [whole]);
        assert_eq!(found(&[(half, "")]).unwrap().unwrap(), [half]);
        assert_eq!(found(&[("vae/diffusion_pytorch_model.safetensors", "")]).unwrap(), None);
    }

    #[test]
    fn an_index_names_files_that_must_be_there() {
        let shards = [1, 2].map(|i| format!("unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors"));
        for index in [
            "unet/diffusion_pytorch_model.safetensors.index.json",
            "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
            "unet/diffusion_pytorch_model.fp16.safetensors.index.json",
        ] {
            assert_eq!(found(&[(index, INDEX), (&shards[0], ""), (&shards[1], "")]).unwrap().unwrap(), shards);
            let missing = found(&[(index, INDEX), (&shards[1], "")]).unwrap_err().to_string();
            assert!(missing.contains("00001-of-00002"), "{missing}");
        }
        let index = "unet/diffusion_pytorch_model.safetensors.index.json";
        for (text, part) in [
            ("[]", "not an index"),
            (r#"{"weight_map": {}}"#, "no files"),
            (r#"{"weight_map": {"a": "../../secret.safetensors"}}"#, "secret"),
            (r#"{"weight_map": {"a": "x.bin"}}"#, "x.bin"),
        ] {
            let reason = found(&[(index, text)]).unwrap_err().to_string();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
