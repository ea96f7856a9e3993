//! Whether an embedding was learned on the model in use.
//!
//! Files name the model by hashes of several kinds, and only those of one kind can be held against each other:
//!
//! | key of the metadata | written by | of |
//! | --- | --- | --- |
//! | `unet-samples` | this program | samples of the U-Net's weights, whatever the layout and the precision; of weights in eight bits a kind of its own |
//! | `model-hash` | this program | the U-Net's files, or of what a single file has of it: SHA-256 |
//! | `checkpoint-hash` | A1111, kohya | the single file: SHA-256, or its first ten digits; before 2023 eight digits, of 64 KiB of it |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Result;
use crate::base::bytes::{hex, sha256, size};
use crate::base::files::write_disposable;
use crate::cli::locate;
use crate::cli::output::Output;
use crate::model::Model;
use crate::source::Source;
use crate::weights::samples;

/// Bytes that are hashed at a time.
const CHUNK: u64 = 16 << 20;
/// Hashing takes a second or more from this length on.
const LONG: u64 = 512 << 20;

/// The metadata of an embedding.
type Facts = BTreeMap<String, String>;

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Other,
    /// The hashes are of different kinds.
    CannotBeTold,
    /// They are of different kinds because eight bits left the weights of one model rounded.
    Rounded,
}

impl Verdict {
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Verdict::Same => "this model",
            Verdict::Other => "a different model",
            Verdict::CannotBeTold => "cannot be told: the file has hashes of another kind than this model",
            Verdict::Rounded => {
                "cannot be told: weights that are or were in eight bits are rounded, and not known again in another form"
            }
        }
    }

    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Other => "other",
            Verdict::CannotBeTold | Verdict::Rounded => "unknown",
        }
    }
}

/// Whether metadata name the model by a hash.
pub(super) fn names_a_model(facts: &Facts) -> bool {
    ["unet-samples", "model-hash", "checkpoint-hash"].iter().any(|key| facts.contains_key(*key))
}

/// What is known of the model in use.
pub(super) struct UsedModel<'a> {
    pub unet_hash: Option<&'a str>,
    pub unet_samples: Option<&'a str>,
    /// The single file that it is, and its path there.
    pub file: Option<(&'a dyn Source, &'a str)>,
}

impl<'a> UsedModel<'a> {
    pub fn of(model: &'a Model) -> Self {
        Self {
            unet_hash: model.unet_hash.as_deref(),
            unet_samples: model.unet_samples.as_deref(),
            file: model.source().single_file(),
        }
    }
}

/// Holds what an embedding's file says against the model in use. A single file is only hashed if the embedding names
/// such a hash, and once.
pub(super) async fn compare(facts: &Facts, model: &UsedModel<'_>, out: &mut Output) -> Result<Verdict> {
    let fact = |key: &str| facts.get(key).map(|hash| hash.trim().to_lowercase());
    if let (Some(theirs), Some(ours)) = (fact("unet-samples"), model.unet_samples)
        && let Some(same) = samples::same(&theirs, ours)
    {
        return Ok(if same { Verdict::Same } else { Verdict::Other });
    }
    let of_unet = fact("model-hash").map(|theirs| match model.unet_hash {
        Some(ours) if theirs == ours => Verdict::Same,
        // Of a folder's file, as most were, and of one that is not from a folder. With samples, layout or precision
        // must differ.
        Some(_) if model.file.is_none() && fact("unet-samples").is_none() => Verdict::Other,
        _ => Verdict::CannotBeTold,
    });
    let of_file = match (fact("checkpoint-hash"), model.file) {
        // Converted by an earlier version, which put the hash of the U-Net here.
        (Some(theirs), _) if model.unet_hash == Some(&theirs) => Verdict::Same,
        (Some(theirs), Some((file, path))) => by_file(&theirs, file, path, out).await?,
        _ => Verdict::CannotBeTold,
    };
    Ok(match (of_unet, of_file) {
        (Some(Verdict::Same), _) | (_, Verdict::Same) => Verdict::Same,
        (Some(Verdict::Other), _) | (_, Verdict::Other) => Verdict::Other,
        _ => match (fact("unet-samples"), model.unet_samples) {
            (Some(theirs), Some(ours)) if samples::are_rounded_otherwise(&theirs, ours) => Verdict::Rounded,
            _ => Verdict::CannotBeTold,
        },
    })
}

async fn by_file(theirs: &str, file: &dyn Source, path: &str, out: &mut Output) -> Result<Verdict> {
    let digits = theirs.bytes().all(|byte| byte.is_ascii_hexdigit());
    let same = match theirs.len() {
        8 if digits => old_hash(file, path).await? == theirs,
        10 | 64 if digits => whole_hash(file, path, out).await?.starts_with(theirs),
        _ => return Ok(Verdict::CannotBeTold),
    };
    Ok(if same { Verdict::Same } else { Verdict::Other })
}

/// What A1111 and kohya called a model by before 2023 (`model_hash`, `ss_sd_model_hash`).
async fn old_hash(file: &dyn Source, path: &str) -> Result<String> {
    let length = file.length(path).await?.unwrap_or(0);
    let from = length.min(0x0010_0000);
    let bytes = file.read(path, from..length.min(from + 0x0001_0000)).await?;
    Ok(sha256(bytes)[..8].to_owned())
}

/// SHA-256 of a file: remembered, or else worked out.
async fn whole_hash(file: &dyn Source, path: &str, out: &mut Output) -> Result<String> {
    let place = file.place(path);
    if let Some(known) = place.as_deref().and_then(from_the_hub) {
        return Ok(known);
    }
    let note = place.as_deref().and_then(note);
    let noted = note.as_ref().and_then(|note| std::fs::read_to_string(note).ok());
    if let Some(known) = noted.filter(|noted| is_hash(noted)) {
        return Ok(known);
    }
    let length = file.length(path).await?.unwrap_or(0);
    if length >= LONG {
        let text = "is hashed once, since an embedding's file names the model that it was learned on by such a hash";
        out.message(&format!("{path} ({}) {text}", size(length)));
    }
    let mut hash = Sha256::new();
    for start in (0..length).step_by(CHUNK as usize) {
        hash.update(file.read(path, start..length.min(start + CHUNK)).await?);
    }
    let hash = hex(&hash.finalize());
    if let Some(note) = note {
        // What cannot be noted is worked out again.
        let _noted = note.parent().map(std::fs::create_dir_all);
        let _noted = write_disposable(&note, hash.as_bytes());
    }
    Ok(hash)
}

/// The hash of a file in the Hub's cache, which was checked when it was fetched: such files are called by it.
fn from_the_hub(path: &Path) -> Option<String> {
    let place = std::fs::canonicalize(path).ok()?;
    let name = place.file_name()?.to_str()?.to_owned();
    let blobs = place.parent()?;
    let repository = blobs.parent()?.file_name()?.to_str()?;
    (blobs.file_name()? == "blobs" && repository.starts_with("models--") && is_hash(&name)).then_some(name)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the hash of a file is noted, until the file changes.
fn note(path: &Path) -> Option<PathBuf> {
    let (place, about) = (std::fs::canonicalize(path).ok()?, std::fs::metadata(path).ok()?);
    let key = format!("{}\n{}\n{:?}", place.display(), about.len(), about.modified().ok()?);
    Some(locate::cache()?.join("hashes").join(sha256(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::quiet;
    use crate::source::Memory;

    fn verdict(facts: &[(&str, &str)], model: &UsedModel<'_>) -> Verdict {
        let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        pollster::block_on(compare(&facts, model, &mut quiet())).unwrap()
    }

    #[test]
    fn only_the_hubs_cache_calls_files_by_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let name = "ab".repeat(32);
        for (place, known) in [("models--a--b/blobs", true), ("mine/blobs", false), ("models--a--b/other", false)] {
            let place = folder.path().join(place);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join(&name), "weights").unwrap();
            assert_eq!(from_the_hub(&place.join(&name)), known.then(|| name.clone()), "{}", place.display());
        }
    }

    #[test]
    fn hashes_of_one_kind_are_held_against_each_other() {
        let bytes: Vec<u8> = (0..0x0011_1000_u32).map(|i| (i / 7) as u8).collect();
        let (whole, old) = (sha256(&bytes), sha256(&bytes[0x0010_0000..0x0011_0000]));
        let mut memory = Memory::new("nowhere-at-all");
        memory.insert("x.safetensors", bytes);
        let unet = "ab".repeat(32);
        let folder = UsedModel { unet_hash: Some(&unet), unet_samples: Some("f16:01"), file: None };
        let file = UsedModel { file: Some((&memory, "x.safetensors")), ..folder };
        let (short, upper, others) = (&whole[..10], whole.to_uppercase(), "cd".repeat(32));
        use Verdict::{CannotBeTold, Other, Rounded, Same};
        for (facts, in_file, in_folder) in [
            (vec![], CannotBeTold, CannotBeTold),
            (vec![("unet-samples", "f16:01"), ("model-hash", &*others)], Same, Same),
            (vec![("unet-samples", "f16:02"), ("model-hash", &*unet)], Other, Other),
            (vec![("unet-samples", "bf16:01"), ("model-hash", &*others)], CannotBeTold, CannotBeTold),
            (vec![("unet-samples", "q8-2:01"), ("model-hash", &*others)], Rounded, Rounded),
            (vec![("unet-samples", "q8-as-f16:01")], Rounded, Rounded),
            (vec![("unet-samples", "q8-2:01"), ("model-hash", &*unet)], Same, Same),
            (vec![("model-hash", &*unet)], Same, Same),
            (vec![("model-hash", &*others)], CannotBeTold, Other),
            (vec![("checkpoint-hash", &*whole)], Same, CannotBeTold),
            (vec![("checkpoint-hash", &*upper)], Same, CannotBeTold),
            (vec![("checkpoint-hash", short)], Same, CannotBeTold),
            (vec![("checkpoint-hash", &old[..8])], Same, CannotBeTold),
            (vec![("checkpoint-hash", &*others)], Other, CannotBeTold),
            (vec![("checkpoint-hash", "0123456789")], Other, CannotBeTold),
            (vec![("checkpoint-hash", "01234567")], Other, CannotBeTold),
            (vec![("checkpoint-hash", "v1-5-pruned")], CannotBeTold, CannotBeTold),
            (vec![("checkpoint-hash", &*unet)], Same, Same),
        ] {
            assert_eq!(verdict(&facts, &file), in_file, "{facts:?}");
            assert_eq!(verdict(&facts, &folder), in_folder, "{facts:?}");
        }
    }
}
