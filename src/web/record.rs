//! What the storage knows of a model: its files, and in which form they are kept.

use serde::{Deserialize, Serialize};

use super::eight_bits::{self, Group};
use super::storage::Folder;
use crate::source::Problem;

/// A file of a model.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub path: String,
    pub bytes: u64,
    /// Of what its source has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where it is in the storage, if not at its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl StoredFile {
    /// One that is kept in a folder of the storage.
    pub fn elsewhere(folder: &str, path: String, bytes: u64, sha256: Option<String>) -> Self {
        Self { at: Some(format!("{folder}/{path}")), path, bytes, sha256 }
    }

    /// Where it is in the storage.
    pub fn place(&self) -> &str {
        self.at.as_deref().unwrap_or(&self.path)
    }
}

/// The record beside a model's files: with `whole` they are all there and verified.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub name: String,
    pub version: String,
    /// As their source has them; once it is whole, as they are kept.
    pub files: Vec<StoredFile>,
    pub whole: bool,
    /// Whether its weights are kept in eight bits.
    #[serde(default)]
    pub eight: bool,
    /// Whether its source has them so.
    #[serde(default)]
    pub packed: bool,
}

impl Record {
    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether its weights come in another form than they are kept in.
    pub fn is_rewritten(&self) -> bool {
        self.eight && !self.packed
    }

    /// Its files in the order in which they are fetched, by their places in the list: those that are written anew by their groups, of
    /// which the largest is first, because then the storage holds the least beside it.
    pub fn groups(&self) -> Vec<(Option<Group>, Vec<usize>)> {
        let mut groups: Vec<(Option<Group>, Vec<usize>)> = vec![(None, Vec::new())];
        for (i, file) in self.files.iter().enumerate() {
            let group = Group::of(&file.path).filter(|_| self.is_rewritten());
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, files)) => files.push(i),
                None => groups.push((group, vec![i])),
            }
        }
        let bytes = |files: &[usize]| files.iter().map(|i| self.files[*i].bytes).sum::<u64>();
        groups[1..].sort_by_key(|(_, files)| std::cmp::Reverse(bytes(files)));
        groups
    }
}

/// How many bytes of a model that is not whole are here, and how many the storage needs at most beside what it holds.
pub(super) async fn reckon(record: &Record, folder: Option<&Folder>) -> Result<[u64; 2], Problem> {
    let (mut here, mut more, mut most) = (0, 0_i64, 0);
    for (group, files) in record.groups() {
        let made = match (group, folder) {
            (Some(group), Some(folder)) => eight_bits::made(folder, group, &record.version).await?.is_some(),
            _ => false,
        };
        let (mut all, mut there) = (0, 0);
        for entry in files.iter().map(|i| &record.files[*i]) {
            all += entry.bytes;
            there += match folder {
                Some(_) if made => entry.bytes,
                Some(folder) => folder.file(entry.place()).await?.map_or(0, |file| file.size() as u64).min(entry.bytes),
                None => 0,
            };
        }
        here += there;
        more += (all - there) as i64;
        if let Some(group) = group.filter(|_| !made) {
            let made = group.bytes(all) as i64;
            most = most.max(more + made);
            more += made - all as i64;
        }
        most = most.max(more);
    }
    Ok([here, most as u64])
}

/// Its name, in a model's folder.
const RECORD: &str = "record.json";

/// The record of a model's folder; none if there is none, or half of one.
pub(super) async fn read_record(folder: &Folder) -> Option<Record> {
    serde_json::from_slice(&folder.read(RECORD).await.ok()??).ok()
}

/// Writes it.
pub(super) async fn write_record(folder: &Folder, record: &Record) -> Result<(), Problem> {
    folder.write(RECORD, &serde_json::to_vec(record).unwrap_or_default()).await
}
