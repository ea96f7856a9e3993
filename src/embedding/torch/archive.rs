//! torch's zip layout: `<root>/data.pkl`, `<root>/data/<key>`, `<root>/version` and a few records more.
//!
//! Sources: `caffe2/serialize/inline_container.cc`, `torch/serialization.py` (`_load`), torch 2.15.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::learned::Note;
use super::super::limits;
use super::super::pickle::value::Storage;
use super::super::pickle::{Unpickled, unpickle};
use super::super::recognise::{Mistaken, zip_kind};
use super::super::refusal::{Refusal, counted, shown};
use super::super::zip::{Archive, Method, Record};
use super::Storages;

/// Versions of the layout that torch 2.15 reads.
const VERSIONS: std::ops::RangeInclusive<u64> = 1..=10;

/// Records that torch writes and that say nothing about the tensors.
const KNOWN: &[&str] = &["data.pkl", "version", "byteorder", ".format_version", ".storage_alignment"];

/// A zip file in torch's layout.
pub(super) struct Torch<'a> {
    zip: Archive<'a>,
    root: &'a str,
    big_endian: bool,
    notes: Vec<Note>,
}

impl<'a> Torch<'a> {
    /// Checks that the archive is in torch's layout.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let zip = Archive::open(bytes)?;
        let root = root(&zip)?;
        let path = |name: &str| format!("{root}/{name}");
        if zip.get(&path("constants.pkl")).is_some() {
            return Err(Refusal::Mistaken(Mistaken::TorchScript));
        }
        if zip.get(&path("data.pkl")).is_none() {
            return Err(without_pickle(&zip, root));
        }
        if zip.records().len() > limits::RECORDS {
            return Err(too_many(&zip, &path("data.pkl")));
        }
        if let Some(other) = zip.records().iter().find(|record| folder(record.name) != Some(root)) {
            let reason = format!("{} is not in its folder {}", shown(other.name), shown(root));
            return Err(Refusal::ambiguous("the torch archive", reason));
        }
        check_version(&zip, root)?;
        let big_endian = match zip.get(&path("byteorder")) {
            None => false,
            Some(record) => match zip.read(record, 32)?.as_ref() {
                b"little" => false,
                b"big" => true,
                other => {
                    let order = shown(&String::from_utf8_lossy(other));
                    return Err(Refusal::damaged("the record byteorder", format!("{order} is not little or big")));
                }
            },
        };
        let mut notes = Vec::new();
        if zip.records().iter().all(|record| record.crc == 0) {
            notes.push(Note::NoChecksum);
        }
        notes.extend(zip.records().iter().filter_map(|record| unknown(record, root)));
        Ok(Self { zip, root, big_endian, notes })
    }

    /// The bytes of `data.pkl`.
    pub fn pickle(&self) -> Result<Cow<'a, [u8]>, Refusal> {
        let name = format!("{}/data.pkl", self.root);
        let record = self.zip.get(&name).ok_or_else(|| without_pickle(&self.zip, self.root))?;
        self.zip.read(record, limits::PICKLE)
    }

    /// Reads `data.pkl`, which must be one pickle and no more, and checks that its storages are there.
    pub fn unpickle<'p>(&self, bytes: &'p [u8]) -> Result<Unpickled<'p>, Refusal> {
        let unpickled = unpickle(bytes, "data.pkl")?;
        if unpickled.end != bytes.len() {
            let left = bytes.len().saturating_sub(unpickled.end);
            return Err(Refusal::ambiguous(
                "the pickle data.pkl",
                format!("{} follow its end", counted(left as u64, "byte")),
            ));
        }
        let mut seen: BTreeMap<&str, &Storage<'_>> = BTreeMap::new();
        for storage in unpickled.arena.storages() {
            if storage.legacy {
                return Err(Refusal::damaged("the pickle data.pkl", "it names a storage as the old format does"));
            }
            let first = *seen.entry(storage.key).or_insert(storage);
            if first != storage {
                let reason = format!("it is {} {} and {} {}", first.numel, first.dtype, storage.numel, storage.dtype);
                return Err(Refusal::ambiguous(format!("the storage {}", storage.key), reason));
            }
        }
        for storage in seen.into_values() {
            self.record(storage)?;
        }
        Ok(unpickled)
    }

    /// What is worth telling about the archive.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The record of a storage, which has the size that the storage needs.
    fn record(&self, storage: &Storage<'_>) -> Result<&Record<'a>, Refusal> {
        let name = format!("{}/data/{}", self.root, storage.key);
        let record = self
            .zip
            .get(&name)
            .ok_or_else(|| Refusal::damaged("the torch archive", format!("the record {} is missing", shown(&name))))?;
        let needed = u128::from(storage.numel) * storage.dtype.size() as u128;
        if needed != u128::from(record.size) {
            let reason = format!("it has {} bytes, {} {} need {needed}", record.size, storage.numel, storage.dtype);
            return Err(Refusal::damaged(shown(&name), reason));
        }
        Ok(record)
    }
}

impl Storages for Torch<'_> {
    fn bytes(&self, storage: &Storage<'_>) -> Result<Cow<'_, [u8]>, Refusal> {
        let record = self.record(storage)?;
        let limit = match record.method {
            Method::Stored => u64::MAX,
            Method::Deflated => limits::INFLATED,
        };
        self.zip.read(record, limit)
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}

/// The text before the first slash.
fn folder(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

/// The folder of the first record, which torch takes for the folder of all.
fn root<'a>(zip: &Archive<'a>) -> Result<&'a str, Refusal> {
    let first = zip.records().first().map(|record| record.name).unwrap_or_default();
    folder(first).ok_or_else(|| match zip_kind(zip.records().iter().map(|record| record.name)) {
        Mistaken::Zip => Refusal::damaged("the torch archive", format!("{} is in no folder", shown(first))),
        other => Refusal::Mistaken(other),
    })
}

/// The refusal of an archive without `data.pkl`.
fn without_pickle(zip: &Archive<'_>, root: &str) -> Refusal {
    let wanted = format!("{root}/data.pkl");
    match zip.records().iter().find(|record| record.name.eq_ignore_ascii_case(&wanted)) {
        Some(other) => Refusal::ambiguous(
            "the torch archive",
            format!("it has {} for {} (torch ignores case, others do not)", shown(other.name), shown(&wanted)),
        ),
        None => match zip_kind(zip.records().iter().map(|record| record.name)) {
            Mistaken::Zip if zip.records().iter().any(|record| record.name.ends_with("data.pkl")) => {
                Refusal::ambiguous("the torch archive", "its records are in several folders")
            }
            other => Refusal::Mistaken(other),
        },
    }
}

/// The refusal of an archive with more records than an embedding needs: its keys show what it is, and need not be
/// unpickled.
fn too_many(zip: &Archive<'_>, pickle: &str) -> Refusal {
    let count = zip.records().len() as u64;
    let keys = zip.get(pickle).and_then(|record| zip.read(record, limits::PICKLE).ok()).unwrap_or_default();
    match Mistaken::by_text(&keys) {
        Some(mistaken) => Refusal::Mistaken(mistaken),
        None => Refusal::too_much("records in the torch archive", count, limits::RECORDS as u64),
    }
}

/// `version`, or `.data/version`, must be there and hold a number that torch takes.
fn check_version(zip: &Archive<'_>, root: &str) -> Result<(), Refusal> {
    let range = format!("{} to {}", VERSIONS.start(), VERSIONS.end());
    let mut found = None;
    for name in ["version", ".data/version"] {
        let Some(record) = zip.get(&format!("{root}/{name}")) else { continue };
        let bytes = zip.read(record, 32).map_err(|_| bad_version(&range, "is far too long, or damaged"))?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let number = text.strip_suffix('\n').unwrap_or(text);
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let version = number.parse().ok().filter(|version| digits && VERSIONS.contains(version));
        let version = version.ok_or_else(|| bad_version(&range, &format!("is {}", shown(text))))?;
        if found.is_some_and(|other| other != version) {
            return Err(Refusal::ambiguous("the torch archive", "its two versions differ"));
        }
        found = Some(version);
    }
    match found {
        Some(_) => Ok(()),
        None => Err(Refusal::damaged("the torch archive", "the record version is missing")),
    }
}

fn bad_version(range: &str, what: &str) -> Refusal {
    Refusal::damaged("the record version", format!("it {what}, where {range} is expected"))
}

/// A note about a record that torch does not write.
fn unknown(record: &Record<'_>, root: &str) -> Option<Note> {
    let name = record.name.strip_prefix(root)?.strip_prefix('/')?;
    let storage = name.strip_prefix("data/").is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
    let known = storage || KNOWN.contains(&name) || name.starts_with(".data/") || name.is_empty();
    (!known).then(|| Note::UnknownRecord(record.name.to_owned()))
}
