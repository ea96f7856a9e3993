//! `pseudoword models convert`: a model as a folder whose weights are in eight bits, or in f16.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::bytes::size;
use crate::base::files::{folder_of, make_folder, sync_folder, write_with_folder};
use crate::cli::args::{ConvertModelArgs, Shared, WeightStorage};
use crate::cli::locate;
use crate::cli::output::Output;
use crate::model::{OpenedModel, fingerprint};
use crate::parts::{Part, Precision};
use crate::source::Source;
use crate::weights::{Storage, repack};
use crate::{Error, Result};

/// What a folder has until it is whole: of what it is made, so that the same command goes on where it was stopped.
const UNFINISHED: &str = "converting.json";

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
    let target = Target { folder: args.output.clone(), about: about(&*source, storage).await? };
    if target.begin()? {
        out.message(&format!("{} was begun before: what is whole there is kept", args.output.display()));
    }
    let mut before = 0;
    for part in config.architecture.with_weights() {
        let Some(paths) = part.weights(Precision::Full) else { continue };
        for path in crate::weights::files::expect(&*source, part).await?.paths {
            before += source.length(&path).await?.unwrap_or(0);
        }
        target.weights(&*source, part, storage, &paths.whole, out).await?;
    }
    for path in small_files(&*source).await? {
        let length = source.length(&path).await?.unwrap_or(0);
        write_with_folder(&target.folder.join(&path), &source.read(&path, 0..length).await?)?;
    }
    target.end()?;
    let after = target.bytes();
    let folder = target.folder.display();
    let line = format!("{folder}: {} of weights in {}, which were {}", size(after), storage.name(), size(before));
    let object = json!({
        "event": "converted", "path": args.output, "weights": storage.name(), "bytes": after, "bytes_before": before,
    });
    out.result(&[line], &object)
}

/// What distinguishes this conversion from others.
async fn about(source: &dyn Source, storage: Storage) -> Result<Value> {
    Ok(json!({"model": fingerprint(source).await?, "weights": storage.name()}))
}

/// The small files of a model that are there.
async fn small_files(source: &dyn Source) -> Result<Vec<String>> {
    let mut there = Vec::new();
    for path in Part::ALL.into_iter().flat_map(Part::small).chain([Part::MODEL_INDEX]) {
        if source.length(path).await?.is_some() && !there.iter().any(|known| known == path) {
            there.push(path.to_owned());
        }
    }
    Ok(there)
}

/// The folder that is written.
struct Target {
    folder: PathBuf,
    about: Value,
}

impl Target {
    /// Makes the folder; whether it was begun before.
    fn begin(&self) -> Result<bool> {
        let marker = self.folder.join(UNFINISHED);
        let written = fs::read(&marker).ok();
        match written.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) {
            Some(other) if other == self.about => return Ok(true),
            Some(_) => return Err(self.taken("another conversion was begun there")),
            None if fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) => {
                return Err(self.taken("it is not empty"));
            }
            None => {}
        }
        Ok(write_with_folder(&marker, self.about.to_string().as_bytes()).map(|()| false)?)
    }

    fn taken(&self, why: &str) -> Error {
        Error::Usage(format!("{} cannot be the folder of the new model: {why}; give another", self.folder.display()))
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
        if place.exists() {
            return Ok(());
        }
        make_folder(folder_of(&place))?;
        // Under its name it is whole.
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
    fn end(&self) -> Result<()> {
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
