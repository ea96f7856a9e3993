//! What the storage knows of a model: its files, in which form they are kept, and how much of them is there.

use super::eight_bits;
use super::storage::Folder;
use crate::source::Problem;
use crate::source::keeping::{Record, There};

/// How many bytes of a model that is not whole are here, and how many the storage needs at most beside what it holds.
pub(super) async fn reckon(record: &Record, folder: Option<&Folder>) -> Result<[u64; 2], Problem> {
    let groups = record.groups();
    let Some(folder) = folder else { return Ok(record.reckon(&vec![There::default(); groups.len()])) };
    let mut all = Vec::with_capacity(groups.len());
    for (group, files) in groups {
        let mut there = There::default();
        if let Some(group) = group {
            there.made = eight_bits::made(folder, group, &record.version).await?.is_some();
            there.begun = eight_bits::begun(folder, group).await?;
        }
        for entry in files.iter().map(|i| &record.files[*i]) {
            there.came += folder.file(entry.place()).await?.map_or(0, |file| file.size() as u64).min(entry.bytes);
        }
        all.push(there);
    }
    Ok(record.reckon(&all))
}

/// Its name, in a model's folder.
const RECORD: &str = "record.json";

/// The same, while it is written: a tab that is closed in the middle leaves one of both whole.
const COMING: &str = "record.coming.json";

/// The record of a model's folder; none if there is none.
pub(super) async fn read_record(folder: &Folder) -> Option<Record> {
    match whole(folder, RECORD).await {
        None => whole(folder, COMING).await,
        found => found,
    }
}

/// The record in one of the files, if that is whole.
async fn whole(folder: &Folder, name: &str) -> Option<Record> {
    serde_json::from_slice(&folder.read(name).await.ok()??).ok()
}

/// Writes it.
pub(super) async fn write_record(folder: &Folder, record: &Record) -> Result<(), Problem> {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    // The one that is whole comes last.
    let names = if whole(folder, RECORD).await.is_some() { [COMING, RECORD] } else { [RECORD, COMING] };
    for name in names {
        folder.write(name, &bytes).await?;
    }
    folder.remove(COMING).await
}

/// Removes what is in a model's folder and not of its record: another version, that was used until this one was whole.
pub(super) async fn remove_others(folder: &Folder, record: &Record) -> Result<(), Problem> {
    let is_own = |name: &String| {
        name == RECORD || record.files.iter().any(|file| file.place().split('/').next() == Some(name.as_str()))
    };
    let (files, folders) = folder.names().await?;
    for name in files.into_iter().chain(folders).filter(|name| !is_own(name)) {
        folder.remove(&name).await?;
    }
    Ok(())
}
