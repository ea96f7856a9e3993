//! What a run has left in its folder, for those who read it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder;
use super::names::{self, REPORT, SETTINGS};
use crate::base::files;

/// A run, by its folder.
pub(in crate::cli) struct Left {
    pub folder: PathBuf,
    /// What it was started with.
    pub settings: Value,
    /// What came of it; null as long as nothing has.
    pub report: Value,
    /// The files of its embeddings, as far as they are there.
    pub embeddings: Vec<PathBuf>,
    /// Its previews, by their steps.
    pub previews: Vec<(u32, PathBuf)>,
}

/// The run in a folder, if there is one.
pub(in crate::cli) fn left_in(folder: &Path) -> Option<Left> {
    let object = |name: &str| {
        let bytes = files::read(&folder.join(name)).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
    };
    let settings = object(SETTINGS)?;
    let tokens = folder::tokens(&settings);
    if tokens.is_empty() {
        return None;
    }
    let embeddings = names::embeddings(&tokens);
    Some(Left {
        report: object(REPORT).unwrap_or_default(),
        embeddings: embeddings.iter().map(|file| folder.join(file)).filter(|path| path.exists()).collect(),
        previews: folder::previews(folder),
        folder: folder.to_owned(),
        settings,
    })
}
