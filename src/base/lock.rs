//! Locks between processes: the system's own lock on an open file, which ends with the process, however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

/// A file that is there to be locked. Dropping it releases the lock and leaves the file: removing it would let two
/// processes lock two files of one name.
#[derive(Debug)]
pub struct FileLock(File);

/// What came of an attempt to lock a file.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Locked,
    /// Another process has it.
    Busy,
    /// It cannot be locked. The kind is [`ErrorKind::Unsupported`] on file systems that have no locks.
    Failed(io::Error),
}

impl FileLock {
    /// Opens the file of a lock, and makes it where there is none. Its folder must exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map(Self)
    }

    /// Locks the file if no other process has it.
    pub fn attempt(&self) -> Attempt {
        match self.0.try_lock() {
            Ok(()) => Attempt::Locked,
            Err(TryLockError::WouldBlock) => Attempt::Busy,
            Err(TryLockError::Error(error)) => Attempt::Failed(error),
        }
    }

    /// Locks the file, and waits for that as long as another process has it. On a file system without locks, which
    /// other processes will hardly share, this succeeds at once.
    pub fn wait(&self) -> io::Result<()> {
        match self.0.lock() {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            locked => locked,
        }
    }

    /// Whether the file is still the one of this name: a lock that nobody else can find locks nothing.
    pub fn is_at(&self, path: &Path) -> bool {
        is_at(&self.0, path)
    }

    /// The file itself, for what is written into it about its holder.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file releases it in any case.
        let _released = self.0.unlock();
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: fs::Metadata, b: fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
    file.metadata().is_ok_and(|a| fs::metadata(path).is_ok_and(|b| same(a, b)))
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    fs::exists(path).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_locked_by_one_and_free_when_that_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FileLock::open(&path).unwrap();
        assert!(matches!(first.attempt(), Attempt::Locked));
        let second = FileLock::open(&path).unwrap();
        assert!(matches!(second.attempt(), Attempt::Busy));
        drop(first);
        second.wait().unwrap();
        assert!(second.is_at(&path));
        fs::remove_file(&path).unwrap();
        assert!(!second.is_at(&path));
    }
}
