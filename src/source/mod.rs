//! Where files come from: a folder, bytes in memory, an `https` address, a repository on the Hugging Face Hub.
//!
//! Two small interfaces, asynchronous because a browser has no other. [`Source`] is the files of a model, in ranges, so
//! that one of any size can be read one tensor at a time. [`transport::Transport`] is how bytes come over the network;
//! with [`download::PartialFile`] (where they grow) it is all that a platform has to provide:
//!
//! ```text
//! what was typed -> address -> hub (which files, sizes, hashes) -> concept | model (which of them)
//!                                                     -> download (resume, verify, publish) -> cache -> Source
//! ```
//!
//! Natively [`fetch::Sources`] does all of it: sockets, and the cache that is shared with Python. Everything that needs
//! no files and no sockets compiles for the browser, too.

pub mod address;
#[cfg(feature = "native")]
pub mod cache;
pub mod concept;
pub mod download;
#[cfg(feature = "native")]
pub mod fetch;
#[cfg(not(target_family = "wasm"))]
mod folder;
#[cfg(feature = "native")]
pub mod http;
pub mod hub;
#[cfg(any(target_family = "wasm", test))]
pub(crate) mod keeping;
pub mod link;
pub mod model;
#[cfg(feature = "native")]
pub mod part;
mod problem;
pub mod progress;
pub mod retry;
pub mod settings;
pub mod transport;
pub mod url;
pub mod verify;
#[cfg(feature = "native")]
mod web;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;

#[cfg(not(target_family = "wasm"))]
pub use folder::Folder;
pub use problem::Problem;

use crate::parts::{Architecture, Part};
use crate::{Error, Result};

/// A future that stays on its thread: there is only one.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The files of one model, by their paths in the diffusers folder layout (`unet/config.json`).
pub trait Source {
    /// Its name in messages.
    fn name(&self) -> String;

    /// The length of a file in bytes; none if there is no such file.
    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>>;

    /// Bytes of a file that exists.
    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>>;

    /// The one file that all of them are ranges of, if it is so: where it is, and its path there.
    fn single_file(&self) -> Option<(&dyn Source, &str)> {
        None
    }

    /// Where a file is on this machine, if it is.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let _elsewhere = path;
        None
    }

    /// The names of the files in a folder, in order; none where that cannot be known. What is needed is asked for by its
    /// name: this is for saying what is there instead, and for what may be called anything.
    fn names<'a>(&'a self, _folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The file that the file `path`, or a weight of it, really lies in, and what the weight is called there: for messages.
    fn origin(&self, path: &str, weight: &str) -> (String, String) {
        (format!("{}/{path}", self.name()), weight.to_owned())
    }
}

/// The names in a folder, among paths.
pub(crate) fn names_in<'a>(folder: &str, paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let inside =
        |path: &'a str| if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') };
    let name = |path: &'a str| inside(path).filter(|name| !name.contains('/'));
    paths.filter_map(name).map(str::to_owned).collect()
}

/// Which parts a model is made of, by the files that are there.
///
/// # Errors
/// Those of looking for a file.
pub async fn architecture(source: &dyn Source) -> Result<Architecture> {
    let second = source.length(Part::TextEncoder2.config()).await?.is_some();
    Ok(Architecture::of(|_| second))
}

/// Reads a whole text file; none if there is no such file.
pub async fn read_text(source: &dyn Source, path: &str) -> Result<Option<String>> {
    const MOST: u64 = 64 << 20;
    let Some(length) = source.length(path).await? else { return Ok(None) };
    let file = format!("{}/{path}", source.name());
    if length > MOST {
        return Err(Error::BadFile { file, reason: format!("{length} bytes is too long for a text file of a model") });
    }
    let bytes = source.read(path, 0..length).await?;
    String::from_utf8(bytes).map(Some).map_err(|_| Error::BadFile { file, reason: "it is not UTF-8 text".to_owned() })
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    name: String,
    files: BTreeMap<String, std::borrow::Cow<'static, [u8]>>,
}

impl Memory {
    /// An empty set of files with a name for messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), files: BTreeMap::new() }
    }

    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<std::borrow::Cow<'static, [u8]>>) {
        self.files.insert(path.into(), bytes.into());
    }
}

impl Source for Memory {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { Ok(self.files.get(path).map(|bytes| bytes.len() as u64)) })
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let span = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let bytes = self.files.get(path).zip(span).and_then(|(bytes, (start, end))| bytes.get(start..end));
            bytes.map(<[u8]>::to_vec).ok_or_else(|| Error::Internal(format!("{path} has no bytes {range:?}")))
        })
    }

    fn names<'a>(&'a self, folder: &'a str) -> LocalFuture<'a, Result<Vec<String>>> {
        Box::pin(async move { Ok(names_in(folder, self.files.keys().map(String::as_str))) })
    }
}
