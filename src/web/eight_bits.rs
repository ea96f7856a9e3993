//! A model that is kept in eight bits: when the files of a part are whole and verified, they are written anew, and then they go.
//!
//! Not while their bytes come: what a source states the SHA-256 of are its own bytes, and a download that breaks off goes on from
//! them. So the storage holds one part twice for a while. A note that is written last makes the new files count; without it the old
//! ones are still there, and the part is written once more.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use js_sys::{Object, Reflect};
use serde::{Deserialize, Serialize};

use super::engine::source_of;
use super::files::Files;
use super::storage::{Folder, Writable};
use crate::Result;
use crate::event::Event;
use crate::parts::{Part, Precision};
use crate::source::keeping::{Group, StoredFile};
use crate::source::{Problem, Source, architecture};
use crate::weights::{Storage, repack};

/// The folder of what is kept in eight bits, in that of a model.
pub(super) const FOLDER: &str = "q8";

/// Where the new file of a part goes.
fn place_of(part: Part) -> Option<String> {
    part.weights(Precision::Full).map(|paths| format!("{FOLDER}/{}", paths.whole))
}

/// Where the note about a group is.
fn note_of(group: Group) -> String {
    let name = match group {
        Group::Part(part) => part.folder(),
        Group::Whole => "model",
    };
    format!("{FOLDER}/{name}.json")
}

/// Bytes that there are of what is made of a group, whole or not.
pub(super) async fn begun(folder: &Folder, group: Group) -> Result<u64, Problem> {
    match group {
        Group::Part(part) => {
            let Some(place) = place_of(part) else { return Ok(0) };
            Ok(folder.file(&place).await?.map_or(0, |file| file.size() as u64))
        }
        Group::Whole => match folder.known(FOLDER).await? {
            Some(folder) => folder.bytes().await,
            None => Ok(0),
        },
    }
}

/// What was made of a group.
#[derive(Serialize, Deserialize)]
struct Note {
    version: String,
    files: Vec<StoredFile>,
}

/// What was made of a group of files of this version before; none if that is not all there.
pub(super) async fn made(folder: &Folder, group: Group, version: &str) -> Result<Option<Vec<StoredFile>>, Problem> {
    let note = folder.read(&note_of(group)).await?.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    let Some(note) = note.filter(|note| note.version == version) else { return Ok(None) };
    for file in &note.files {
        if folder.file(file.place()).await?.is_none_or(|found| found.size() as u64 != file.bytes) {
            return Ok(None);
        }
    }
    Ok(Some(note.files))
}

/// Writes the files of a group anew. `report` is told how far it is, and says whether to continue. What is not whole in the end is
/// removed: it would be written once more, and meanwhile others may need the room.
pub(super) async fn make(
    folder: &Folder,
    known: (&str, &str),
    (group, files): (Group, &[StoredFile]),
    report: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Vec<StoredFile>> {
    let made = write(folder, known, (group, files), report).await;
    if made.is_err() {
        let left = match group {
            Group::Part(part) => place_of(part),
            Group::Whole => Some(FOLDER.to_owned()),
        };
        if let Some(left) = left {
            // Why it is not whole says more than why this is not removed.
            let _kept = folder.remove(&left).await;
        }
    }
    made
}

async fn write(
    folder: &Folder,
    (name, version): (&str, &str),
    (group, files): (Group, &[StoredFile]),
    report: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Vec<StoredFile>> {
    let object = Object::new();
    for file in files {
        if let Some(found) = folder.file(&file.path).await? {
            // An ordinary object takes any property.
            let _set = Reflect::set(&object, &file.path.as_str().into(), &found);
        }
    }
    let (source, parts): (Rc<dyn Source>, Vec<Part>) = match group {
        Group::Part(part) => (Rc::new(Files::new(name.to_owned(), &object)), vec![part]),
        Group::Whole => {
            let source = source_of(Files::new(name.to_owned(), &object), &mut |_| ()).await?;
            let parts = architecture(&*source).await?.with_weights().collect();
            (source, parts)
        }
    };
    // Who knows a part by the hash of its only file, knows it by that of what it was made of.
    let sha256 = match files {
        [only] if matches!(group, Group::Part(_)) => only.sha256.clone(),
        _ => None,
    };
    let mut made = Vec::new();
    for part in parts {
        let Some(paths) = part.weights(Precision::Full) else { continue };
        let file = StoredFile::elsewhere(FOLDER, paths.whole, 0, sha256.clone());
        let bytes = rewrite(folder, file.place(), &*source, part, report).await?;
        made.push(StoredFile { bytes, ..file });
    }
    if !matches!(group, Group::Part(_)) {
        for path in repack::small_files(&*source).await? {
            let bytes = source.read(&path, 0..source.length(&path).await?.unwrap_or(0)).await?;
            let file = StoredFile::elsewhere(FOLDER, path, bytes.len() as u64, None);
            folder.write(file.place(), &bytes).await?;
            made.push(file);
        }
    }
    let note = Note { version: version.to_owned(), files: made };
    folder.write(&note_of(group), &serde_json::to_vec(&note).unwrap_or_default()).await?;
    Ok(note.files)
}

/// Writes the weights of a part into a file of the storage; gives its length.
async fn rewrite(
    folder: &Folder,
    place: &str,
    source: &dyn Source,
    part: Part,
    report: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<u64> {
    let (mut file, stopped) = (Writable::open(folder, place).await?, Cell::new(false));
    let mut sink = |at: u64, bytes: &[u8]| {
        if stopped.get() {
            return Err(Problem::Interrupted.into());
        }
        Ok(file.write_at(at, bytes)?)
    };
    let mut events = |event| stopped.set(stopped.get() || report(event).is_break());
    let length = Box::pin(repack::repack(source, part, Storage::Q8, &mut sink, &mut events)).await?;
    file.end_at(length)?;
    file.flush()?;
    Ok(length)
}
