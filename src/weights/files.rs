//! Which files hold the weights of a part of a model: one, or several with an index, as diffusers and transformers name
//! them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Header, packed};
use crate::base::text::quoted;
use crate::parts::{Part, Precision, WeightSets};
use crate::source::address::is_safe_path;
use crate::source::{Source, read_text};
use crate::{Error, Result};

/// `*.safetensors.index.json`: which file holds which weight.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files with a part's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightFiles {
    /// Their paths.
    pub paths: Vec<String>,
    /// What to say about them, if they are not where they usually are.
    pub note: Option<String>,
}

/// The files with a part's weights; none if there are no such files.
///
/// # Errors
/// [`Error::BadFile`] for an index that cannot be read, [`Error::ModelPartMissing`] for one whose files are not all
/// there.
pub async fn find(source: &dyn Source, part: Part) -> Result<Option<Vec<String>>> {
    Ok(choose(source, part).await?.map(|files| files.paths))
}

/// As [`find`], where there must be some.
///
/// # Errors
/// [`Error::ModelPartMissing`] if there are none, and those of [`find`].
pub async fn expect(source: &dyn Source, part: Part) -> Result<WeightFiles> {
    if let Some(files) = choose(source, part).await? {
        return Ok(files);
    }
    let wholes = Precision::ALL.into_iter().filter_map(|precision| Some(part.weights(precision)?.whole));
    let mut expected = format!("{}, or an index of several", wholes.collect::<Vec<_>>().join(" or "));
    let names = source.names(part.folder()).await?;
    let name = |name: &String| format!("{}/{name}", part.folder());
    if let Some(missing) = WeightSets::of(part, names.iter().map(String::as_str)).missing {
        expected += &format!("; of several files, {} is missing", name(&missing));
    }
    let others: Vec<String> = names.iter().filter(|name| holds_weights(name)).map(name).collect();
    if !others.is_empty() {
        expected += &format!("; there is {}", others.join(", "));
        if others.iter().any(|name| !name.ends_with(".safetensors")) {
            expected += ", and only safetensors files are read: with Python's diffusers, from_pretrained opens such a folder \
                         and save_pretrained writes one that can be used";
        }
    }
    Err(Error::ModelPartMissing { model: source.name(), part: format!("{part} weights"), expected })
}

/// The headers of a part's files, with their paths, each checked on its own and against the others; and what to say about
/// the files.
///
/// # Errors
/// Those of [`expect`]; [`Error::BadFile`] if a file is not safetensors, or a weight is in two.
pub(super) async fn headers(source: &dyn Source, part: Part) -> Result<(Vec<(String, Header)>, Option<String>)> {
    let WeightFiles { paths, note } = expect(source, part).await?;
    let (mut headers, mut names) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let bad = |reason: String| Error::BadFile { file: format!("{}/{path}", source.name()), reason };
        let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
        packed::check(&header).map_err(bad)?;
        if let Some(entry) = header.tensors().find(|entry| !names.insert(entry.name.clone())) {
            return Err(bad(format!("{} is in another file of the {part}, too", entry.name)));
        }
        headers.push((path, header));
    }
    Ok((headers, note))
}

/// Under the usual names, or else under any other.
async fn choose(source: &dyn Source, part: Part) -> Result<Option<WeightFiles>> {
    for paths in Precision::ALL.into_iter().filter_map(|precision| part.weights(precision)) {
        let mut index = None;
        for path in paths.indices {
            if source.length(&path).await?.is_some() {
                index = Some(path);
                break;
            }
        }
        let has_whole = source.length(&paths.whole).await?.is_some();
        // Where there are both, diffusers takes those of the index, and transformers the whole.
        let is_transformers = matches!(part, Part::TextEncoder | Part::TextEncoder2);
        let takes_index = index.is_some() && (!has_whole || !is_transformers);
        let note = |used: &str, other: &str| {
            format!("{}: {used} is used, and {other}, which lies beside it, is not", source.name())
        };
        match index {
            Some(index) if takes_index => {
                let text = read_text(source, &index).await?.unwrap_or_default();
                let note = has_whole.then(|| note(&index, &paths.whole));
                return Ok(Some(WeightFiles { paths: shards(source, part, &index, &text).await?, note }));
            }
            index if has_whole => {
                let note = index.map(|index| note(&paths.whole, &index));
                return Ok(Some(WeightFiles { paths: vec![paths.whole], note }));
            }
            _ => {}
        }
    }
    let names = source.names(part.folder()).await?;
    let mut sets = WeightSets::of(part, names.iter().map(String::as_str)).whole.into_iter();
    let Some(set) = sets.next() else { return Ok(None) };
    let path = |name: &String| format!("{}/{name}", part.folder());
    let paths: Vec<String> = set.files.iter().map(path).collect();
    let note = (!set.is_usual()).then(|| {
        let others: Vec<String> = sets.map(|set| set.variant).collect();
        let others = if others.is_empty() { String::new() } else { format!(" (there is {}, too)", others.join(", ")) };
        let used = if paths.len() == 1 { "is used" } else { "are used" };
        let (name, paths) = (source.name(), paths.join(", "));
        format!("{name}: the {part} has no weights under the usual name, so {paths} {used}{others}")
    });
    Ok(Some(WeightFiles { paths, note }))
}

/// Whether a file's name is one of weights in any format.
fn holds_weights(name: &str) -> bool {
    const ENDINGS: [&str; 9] = ["safetensors", "bin", "ckpt", "pt", "pth", "msgpack", "h5", "onnx", "gguf"];
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
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
            return Err(bad(format!(
                "it names {shown}, which is not a safetensors file beside it",
                shown = quoted(&name)
            )));
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

    #[test]
    fn weights_under_another_name_are_used_and_what_there_is_instead_is_named() {
        let files = |paths: &[&str]| {
            let mut memory = Memory::new("m");
            paths.iter().for_each(|path| memory.insert(*path, Vec::new()));
            pollster::block_on(expect(&memory, Part::Unet)).map_err(|error| error.to_string())
        };
        let stem = "unet/diffusion_pytorch_model";
        let (own, brain) = (format!("{stem}.non_ema.safetensors"), format!("{stem}.bf16.safetensors"));
        let found = files(&[&own, &brain]).unwrap();
        assert_eq!(found.paths, [brain]);
        let note = found.note.unwrap();
        assert!(note.contains("bf16.safetensors") && note.contains("non_ema, too"), "{note}");
        assert_eq!(files(&[&own]).unwrap().paths, [own]);

        let shards = [1, 2].map(|number| format!("{stem}-0000{number}-of-00002.safetensors"));
        let found = files(&[&shards[0], &shards[1]]).unwrap();
        assert_eq!((found.paths, found.note), (shards.to_vec(), None));
        let reason = files(&[&shards[1]]).unwrap_err();
        assert!(reason.contains(&format!("{} is missing", shards[0])), "{reason}");

        let reason = files(&["unet/diffusion_pytorch_model.fp16.bin", "unet/config.json"]).unwrap_err();
        assert!(
            reason.contains("there is unet/diffusion_pytorch_model.fp16.bin") && reason.contains("save_pretrained")
        );
        assert!(!files(&["unet/config.json"]).unwrap_err().contains("there is"));
    }

    const INDEX: &str = r#"{"metadata": {"total_size": 8}, "weight_map": {
        "a": "diffusion_pytorch_model-00002-of-00002.safetensors",
        "b": "diffusion_pytorch_model-00001-of-00002.safetensors",
        "c": "diffusion_pytorch_model-00002-of-00002.safetensors"}}"#;

    #[test]
    fn beside_an_index_a_whole_file_is_what_it_is_in_python() {
        let stem = "unet/diffusion_pytorch_model";
        let (whole, index) = (format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json"));
        let shards = [1, 2].map(|number| format!("{stem}-0000{number}-of-00002.safetensors"));
        let mut memory = Memory::new("m");
        memory.insert(index.as_str(), INDEX.as_bytes().to_vec());
        for path in [&whole, &shards[0], &shards[1]] {
            memory.insert(path.as_str(), Vec::new());
        }
        let found = pollster::block_on(expect(&memory, Part::Unet)).unwrap();
        assert_eq!(found.paths, shards);
        assert_eq!(found.note.unwrap(), format!("m: {index} is used, and {whole}, which lies beside it, is not"));

        let (whole, index) = ("text_encoder/model.safetensors", "text_encoder/model.safetensors.index.json");
        memory.insert(whole, Vec::new());
        memory.insert(index, INDEX.as_bytes().to_vec());
        let found = pollster::block_on(expect(&memory, Part::TextEncoder)).unwrap();
        assert_eq!(found.paths, [whole]);
        assert!(found.note.unwrap().starts_with(&format!("m: {whole} is used, and {index}")));
    }

    #[test]
    fn full_precision_is_preferred_to_half() {
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
