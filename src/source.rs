//! Where a model's files come from: a folder, or bytes in memory (the model in the binary, files handed in by a page).
//!
//! One small interface, asynchronous because a browser has no other, and with ranges, so that a file of any size can be
//! read one tensor at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use crate::{Error, Result};

/// A future that stays on its thread: there is only one.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The files of one model, by their paths in the diffusers folder layout (`unet/config.json`).
pub trait Source {
    /// What to call it in messages.
    fn name(&self) -> String;

    /// The length of a file in bytes; none if there is no such file.
    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>>;

    /// Bytes of a file that exists.
    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>>;
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
}

#[cfg(not(target_family = "wasm"))]
pub use folder::Folder;

#[cfg(not(target_family = "wasm"))]
mod folder {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Seek, SeekFrom};
    use std::path::PathBuf;

    use super::*;

    /// A folder on disk.
    #[derive(Debug, Clone)]
    pub struct Folder(PathBuf);

    impl Folder {
        /// Names a folder; nothing is read yet.
        pub fn new(path: impl Into<PathBuf>) -> Self {
            Self(path.into())
        }
    }

    impl Source for Folder {
        fn name(&self) -> String {
            self.0.display().to_string()
        }

        fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
            Box::pin(async move {
                let path = self.0.join(path);
                match std::fs::metadata(&path) {
                    Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
                    Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
                    Err(source) => Err(Error::Read { path, source }),
                }
            })
        }

        fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
            Box::pin(async move {
                let path = self.0.join(path);
                let read = || -> std::io::Result<Vec<u8>> {
                    let mut file = File::open(&path)?;
                    file.seek(SeekFrom::Start(range.start))?;
                    let length = range.end - range.start;
                    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
                    file.take(length).read_to_end(&mut bytes)?;
                    match bytes.len() as u64 == length {
                        true => Ok(bytes),
                        false => Err(ErrorKind::UnexpectedEof.into()),
                    }
                };
                read().map_err(|source| Error::Read { path: path.clone(), source })
            })
        }
    }
}
