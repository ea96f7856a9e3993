//! `pseudoword models convert`: a model as a folder whose weights are in eight bits, or in f16.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::bytes::size;
use crate::base::files::{folder_of, make_folder, sync_folder, write_with_folder};
use crate::base::lock::{Attempt, FileLock};
use crate::cli::args::{ConvertModelArgs, Shared, WeightStorage};
use crate::cli::locate;
use crate::cli::output::Output;
use crate::event::{Event, WarningCode};
use crate::model::{OpenedModel, fingerprint};
use crate::parts::{Part, Precision};
use crate::source::Source;
use crate::weights::repack::{NOTE, Repacked};
use crate::weights::{Storage, files, repack};
use crate::{Error, Result};

/// What a folder has until it is whole: of what it is made, so that the same command goes on where it was stopped.
pub(in crate::cli) const UNFINISHED: &str = "converting.json";

/// Writes the model.
///
/// # Errors
/// [`Error::Usage`] for a folder that holds something else; those of reading and writing.
pub(super) async fn run(args: &ConvertModelArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let storage = match shared.weights {
        WeightStorage::Auto | WeightStorage::Q8 => Storage::Q8,
        WeightStorage::F16 => Storage::F16,
        WeightStorage::File | WeightStorage::F32 => {
            return Err(Error::Usage("--weights is q8 or f16 where a model is converted".to_owned()));
        }
    };
    let shared = Shared { model: Some(args.input.clone()), ..shared.clone() };
    let source = locate::model(&shared, out).await?;
    // What is not a model is found out before anything is written.
    let config = OpenedModel::read(source.clone()).await?.config;
    let about = json!({"model": fingerprint(&*source).await?, "weights": storage.name()});
    let (target, begun) = Target::begin(&args.output, &about)?;
    if begun {
        out.message(&format!("{} was begun before: what is whole there is kept", args.output.display()));
    }
    let mut before = 0;
    for part in config.architecture.with_weights() {
        let Some(paths) = part.weights(Precision::Full) else { continue };
        let files::WeightFiles { paths: old, note } = files::expect(&*source, part).await?;
        if let Some(note) = note {
            out.event(&Event::warning(WarningCode::Weights, note))?;
        }
        for path in old {
            before += source.length(&path).await?.unwrap_or(0);
        }
        target.weights(&*source, part, storage, &paths.whole, out).await?;
    }
    for path in repack::small_files(&*source).await? {
        let length = source.length(&path).await?.unwrap_or(0);
        write_with_folder(&target.folder.join(&path), &source.read(&path, 0..length).await?)?;
    }
    if storage == Storage::Q8 {
        write_with_folder(&target.folder.join(NOTE), repack::note().as_bytes())?;
    }
    let after = target.bytes();
    target.end()?;
    let folder = args.output.display();
    let line = format!("{folder}: {} of weights in {}, which were {}", size(after), storage.name(), size(before));
    let object = json!({
        "event": "converted", "path": args.output, "weights": storage.name(), "bytes": after, "bytes_before": before,
    });
    out.result(&[line], &object)
}

/// The folder that is written, by this process alone.
struct Target {
    folder: PathBuf,
    /// On [`UNFINISHED`], which says of what the folder is made.
    _lock: FileLock,
}

impl Target {
    /// Makes the folder; whether it was begun before.
    fn begin(folder: &Path, about: &Value) -> Result<(Self, bool)> {
        let taken = |why: &str| {
            let folder = folder.display();
            Error::Usage(format!("{folder} cannot be the folder of the new model: {why}; give another"))
        };
        let marker = folder.join(UNFINISHED);
        let others = || {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name() != UNFINISHED).count() > 0
        };
        if !marker.exists() && others() {
            return Err(taken("it is not empty"));
        }
        make_folder(folder)?;
        let failed = |source| Error::Write { path: marker.clone(), source };
        let mut lock = FileLock::open(&marker).map_err(failed)?;
        match lock.attempt() {
            Attempt::Locked => {}
            Attempt::Busy => return Err(taken("another program is writing it")),
            Attempt::Failed(error) if error.kind() == ErrorKind::Unsupported => {}
            Attempt::Failed(error) => return Err(failed(error)),
        }
        let mut text = String::new();
        // Where it cannot be understood, it is of nothing that could go on.
        let read = lock.file().read_to_string(&mut text);
        match read.ok().and_then(|_| serde_json::from_str::<Value>(&text).ok()) {
            Some(other) if other == *about => return Ok((Self { folder: folder.to_owned(), _lock: lock }, true)),
            Some(_) => return Err(taken("another conversion was begun there")),
            // Another program has just finished, or somebody damaged the file.
            None if others() => {
                if text.is_empty() {
                    let _removed = fs::remove_file(&marker);
                }
                return Err(taken("it is not empty"));
            }
            None => {}
        }
        let mut write = || -> io::Result<()> {
            let file = lock.file();
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(about.to_string().as_bytes())?;
            file.sync_all()
        };
        write().and_then(|()| sync_folder(folder)).map_err(failed)?;
        Ok((Self { folder: folder.to_owned(), _lock: lock }, false))
    }

    /// Writes a part's weights, unless they are there.
    async fn weights(
        &self,
        source: &dyn Source,
        part: Part,
        storage: Storage,
        path: &str,
        out: &mut Output,
    ) -> Result<()> {
        let place = self.folder.join(path);
        // Under its name it was whole; what was cut off since then is made again.
        if let Ok(there) = fs::metadata(&place)
            && there.len() == Repacked::plan(source, part, storage, &BTreeSet::new()).await?.length
        {
            return Ok(());
        }
        make_folder(folder_of(&place))?;
        let scratch = place.with_extension("part");
        let failed = |source| Error::Write { path: scratch.clone(), source };
        let mut file = File::create(&scratch).map_err(failed)?;
        let mut at = 0;
        let mut sink = |to: u64, bytes: &[u8]| {
            crate::base::failpoints::pass_file("weights", "write").map_err(failed)?;
            if to != at {
                file.seek(SeekFrom::Start(to)).map_err(failed)?;
            }
            file.write_all(bytes).map_err(failed)?;
            at = to + bytes.len() as u64;
            Ok(())
        };
        let mut shown = Ok(());
        let length = repack::repack(source, part, storage, &mut sink, &mut |event| {
            if shown.is_ok() {
                shown = out.event(&event);
            }
        })
        .await?;
        shown?;
        // What a longer attempt left behind the end.
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&scratch, &place).and_then(|()| sync_folder(folder_of(&place))).map_err(failed)
    }

    /// The folder is whole.
    fn end(self) -> Result<()> {
        let marker = self.folder.join(UNFINISHED);
        fs::remove_file(&marker).map_err(|source| Error::Write { path: marker, source })
    }

    /// Bytes of its weights.
    fn bytes(&self) -> u64 {
        let files = Part::ALL.into_iter().filter_map(|part| part.weights(Precision::Full));
        let length = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
        files.map(|paths| length(&self.folder.join(paths.whole))).sum()
    }
}
