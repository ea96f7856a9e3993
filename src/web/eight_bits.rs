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
use super::record::StoredFile;
use super::storage::{Folder, Writable};
use crate::Result;
use crate::event::Event;
use crate::formats::{Holds, can_hold};
use crate::parts::{Part, Precision};
use crate::source::{Problem, Source, architecture};
use crate::weights::{Storage, repack};

/// The folder of what is kept in eight bits, in that of a model.
pub(super) const FOLDER: &str = "q8";

/// The files that are written anew together: those of one part's weights, or a model in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// A part's.
    Part(Part),
    /// All of it.
    Single,
    /// All of it, where most may be in eight bits already.
    Gguf,
}

impl Group {
    /// Which a file is of; none for small ones.
    pub fn of(path: &str) -> Option<Self> {
        let weights = can_hold(path, Holds::Model) || path.contains(".safetensors.index.");
        let single = if path.to_ascii_lowercase().ends_with(".gguf") { Group::Gguf } else { Group::Single };
        weights.then(|| Part::of(path).map_or(single, Group::Part))
    }

    fn note(self) -> String {
        let name = match self {
            Group::Part(part) => part.folder(),
            Group::Single | Group::Gguf => "model",
        };
        format!("{FOLDER}/{name}.json")
    }

    /// The most bytes that files of so many come to.
    pub fn bytes(self, before: u64) -> u64 {
        match self {
            Group::Part(Part::Vae) | Group::Gguf => before,
            // 34 for every 64 of f16; of a single file the autoencoder stays as it is.
            Group::Part(_) => before / 32 * 17 + before / 100,
            Group::Single => before / 8 * 5,
        }
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
    let note = folder.read(&group.note()).await?.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    let Some(note) = note.filter(|note| note.version == version) else { return Ok(None) };
    for file in &note.files {
        if folder.file(file.place()).await?.is_none_or(|found| found.size() as u64 != file.bytes) {
            return Ok(None);
        }
    }
    Ok(Some(note.files))
}

/// Writes the files of a group anew, and removes them. `report` is told how far it is, and says whether to continue.
pub(super) async fn make(
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
        Group::Single | Group::Gguf => {
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
    folder.write(&group.note(), &serde_json::to_vec(&note).unwrap_or_default()).await?;
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
