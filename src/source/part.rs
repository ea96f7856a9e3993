//! A file that grows on the disk, and the lock that keeps two processes from growing it at once.
//!
//! `X.part` holds the bytes and `X.part.tag` the entity tag that they came with, if there was one; old bytes are
//! removed before the tag changes, so that they are never taken for another version's. Bytes are only ever written
//! where they belong and a file is never shortened but removed: on a file system whose locks do nothing (some network
//! file systems), two processes that fetch one file write the same bytes to the same places.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::download::PartialFile;
use super::progress::{Notice, Report};
use super::retry::notify;
use super::{LocalFuture, Problem};
use crate::base::files::{folder_of, make_folder, remove, sync_folder};
use crate::base::lock::{Attempt, FileLock};

/// Bytes on their way to a file.
#[derive(Debug)]
pub struct FilePart {
    place: PathBuf,
    part: PathBuf,
    tag_path: PathBuf,
    file: Option<File>,
    length: u64,
    tag: Option<String>,
}

impl FilePart {
    /// Opens what an earlier run left of the file at `place`, if anything. The caller holds the lock.
    ///
    /// # Errors
    /// [`Problem::Write`] if the folder cannot be made or the part cannot be opened.
    pub fn open(place: &Path) -> Result<Self, Problem> {
        make_folder(folder_of(place))?;
        let (part, tag_path) = (with_ending(place, ".part"), with_ending(place, ".part.tag"));
        let tag = fs::read_to_string(&tag_path).ok().filter(|tag| !tag.is_empty());
        let mut opened = Self { place: place.to_owned(), part, tag_path, file: None, length: 0, tag };
        if opened.part.is_file() {
            let file = opened.file(false)?;
            let length = file.metadata().map_err(|source| Problem::Read { path: opened.part.clone(), source })?.len();
            opened.length = length;
        }
        Ok(opened)
    }

    fn file(&mut self, new: bool) -> Result<&mut File, Problem> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let opened = OpenOptions::new().read(true).write(true).create(new).truncate(false).open(&self.part);
                opened.map_err(|source| Problem::Write { path: self.part.clone(), source })?
            }
        };
        Ok(self.file.insert(file))
    }

    fn start_over(&mut self, tag: Option<&str>) -> Result<(), Problem> {
        (self.file, self.length) = (None, 0);
        remove(&self.part)?;
        remove(&self.tag_path)?;
        self.tag = tag.map(str::to_owned);
        match tag {
            Some(tag) => {
                fs::write(&self.tag_path, tag).map_err(|source| Problem::Write { path: self.tag_path.clone(), source })
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let start = self.length;
        let file = self.file(true)?;
        let written = file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(bytes));
        written.map_err(|source| Problem::Write { path: self.part.clone(), source })?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn look(&mut self, start: u64, most: usize) -> Result<Vec<u8>, Problem> {
        let most = (self.length.saturating_sub(start)).min(most as u64);
        let file = self.file(false)?;
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(most).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|source| Problem::Read { path: self.part.clone(), source })
    }

    fn put_in_place(&mut self) -> Result<(), Problem> {
        let path = self.part.clone();
        let failed = |source| Problem::Write { path, source };
        let durable = self.file(true)?.sync_all();
        self.file = None;
        let renamed = durable.and_then(|()| fs::rename(&self.part, &self.place));
        if let Err(error) = renamed {
            // Where locks do nothing, another process may have been faster with the same bytes.
            let done = error.kind() == ErrorKind::NotFound
                && fs::metadata(&self.place).is_ok_and(|about| about.len() == self.length);
            if !done {
                return Err(failed(error));
            }
        }
        let place = self.place.clone();
        sync_folder(folder_of(&place)).map_err(|source| Problem::Write { path: place, source })?;
        // The file is in place; a tag that is left over belongs to no bytes.
        let _removed = fs::remove_file(&self.tag_path);
        Ok(())
    }
}

impl PartialFile for FilePart {
    fn length(&self) -> u64 {
        self.length
    }

    fn validator(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    fn restart<'a>(&'a mut self, validator: Option<&'a str>) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move { self.start_over(validator) })
    }

    fn append<'a>(&'a mut self, bytes: &'a [u8]) -> LocalFuture<'a, Result<(), Problem>> {
        Box::pin(async move { self.add(bytes) })
    }

    fn read(&mut self, start: u64, most: usize) -> LocalFuture<'_, Result<Vec<u8>, Problem>> {
        Box::pin(async move { self.look(start, most) })
    }

    fn publish(&mut self) -> LocalFuture<'_, Result<(), Problem>> {
        Box::pin(async move { self.put_in_place() })
    }
}

/// A lock between processes; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub struct Lock {
    /// None on a file system that has no locks.
    _file: Option<FileLock>,
}

impl Lock {
    /// Waits for the lock of this name. It is the lock of Python's `filelock` (`flock` on Unix), so that downloads of
    /// both are kept apart.
    ///
    /// # Errors
    /// [`Problem::Write`] if the file cannot be made, [`Problem::Interrupted`] if the user does not want to wait.
    pub fn take(path: &Path, what: &str, report: &mut Report<'_>) -> Result<Self, Problem> {
        make_folder(folder_of(path))?;
        let failed = |source| Problem::Write { path: path.to_owned(), source };
        let mut announced = false;
        loop {
            let file = FileLock::open(path).map_err(failed)?;
            match file.attempt() {
                // The file may have been removed in between: then it is made and locked again.
                Attempt::Locked if file.is_at(path) => return Ok(Self { _file: Some(file) }),
                Attempt::Locked => {}
                Attempt::Busy => {
                    if !std::mem::replace(&mut announced, true) {
                        notify(report, Notice::Waiting { what: what.to_owned() })?;
                    }
                    notify(report, Notice::Tick)?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                // A part is written in a way that survives this.
                Attempt::Failed(error) if error.kind() == ErrorKind::Unsupported => return Ok(Self { _file: None }),
                Attempt::Failed(error) => return Err(failed(error)),
            }
        }
    }
}

/// `x` as `x.part`.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
