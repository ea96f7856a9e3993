//! A path that leads near a model: to a file of its folder, to a folder inside or around it, or to a cache.

use std::fs;
use std::path::{Path, PathBuf};

use super::models::convert::UNFINISHED;
use crate::base::files::file_name;
use crate::formats::{Holds, can_hold};
use crate::parts::Part;

/// How many of a list are named.
const SHOWN: usize = 3;

/// The model folder that a file is a part of, if it is one.
pub(super) fn folder_of_part(file: &Path) -> Option<&Path> {
    let folder = file.parent()?;
    if file_name(file) == Part::MODEL_INDEX {
        return Some(named(folder));
    }
    let model = folder.parent().filter(|_| Part::of(&file.to_string_lossy()).is_some())?;
    is_model(model).then(|| named(model))
}

/// Whether a path in a repository is one of a model folder's files.
pub(super) fn is_of_folder(path: &str) -> bool {
    Part::of(path).is_some() || path.rsplit('/').next() == Some(Part::MODEL_INDEX)
}

/// What to do instead of giving a folder that is no whole model: one that is not all written yet, or in which nothing of a model
/// is where it belongs.
pub(super) fn instead_of(folder: &Path) -> Option<String> {
    if folder.join(UNFINISHED).exists() {
        return Some(
            "the conversion into this folder is not finished: give the same `models convert` command again".to_owned(),
        );
    }
    if Part::ALL.into_iter().map(Part::config).any(|config| folder.join(config).exists()) {
        return None;
    }
    if let Some(model) =
        folder.parent().filter(|model| is_model(model) && Part::ALL.iter().any(|part| folder.ends_with(part.folder())))
    {
        return Some(format!(
            "this is the folder of a part of the model folder {}: give that one",
            named(model).display()
        ));
    }
    let repository = file_name(folder).strip_prefix("models--").map(|name| name.replacen("--", "/", 1));
    if let Some(repository) = repository.filter(|_| folder.join("snapshots").is_dir()) {
        return Some(format!("this is where a repository is cached: give its name, {repository}"));
    }
    let entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    let files = entries.iter().filter(|path| path.is_file() && can_hold(&file_name(path), Holds::Model));
    if let Some(files) = list(files) {
        return Some(format!(
            "this folder is not a model, but a model in one file may be in it: give the file, {files}"
        ));
    }
    list(entries.iter().filter(|path| is_model(path)))
        .map(|models| format!("this folder is not a model, but there are models in it: give one of them, {models}"))
}

/// Whether a folder is a model's: one file by itself may be called like a model's by chance.
fn is_model(folder: &Path) -> bool {
    let marks = Part::ALL.map(Part::config).into_iter().chain([Part::MODEL_INDEX]);
    marks.filter(|mark| folder.join(mark).is_file()).count() > 1
}

/// A folder as it can be typed.
fn named(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// The first of some paths; none if there are none.
fn list<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    let mut paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    paths.sort_unstable();
    let more = if paths.len() > SHOWN { ", ..." } else { "" };
    paths.truncate(SHOWN);
    (!paths.is_empty()).then(|| paths.join(", ") + more)
}
