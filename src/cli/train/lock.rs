//! One run at a time in a folder.
//!
//! The lock is the system's own on an open file, so it ends with the process, however that ends: none is ever left
//! behind. The file itself stays, since removing it would let two runs lock two files of one name.

use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::names::LOCK;
use crate::base::files::make_folder;
use crate::base::lock::{Attempt, FileLock};
use crate::cli::output::span;
use crate::{Error, Result};

/// A folder that is ours until this is dropped.
pub(super) struct Lock {
    folder: PathBuf,
    file: FileLock,
    /// Whether the folder was made for it.
    made: bool,
    /// What cannot be locked is used all the same; this is why.
    pub warning: Option<String>,
}

impl Lock {
    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Held`] if another run works in it, [`Error::Write`] if it cannot be written to.
    pub fn take(folder: &Path) -> Result<Self> {
        let made = !folder.exists();
        make_folder(folder)?;
        let path = folder.join(LOCK);
        let failed = |source| Error::Write { path: path.clone(), source };
        let file = FileLock::open(&path).map_err(failed)?;
        let mut lock = Self { folder: folder.to_owned(), file, made, warning: None };
        match lock.file.attempt() {
            Attempt::Locked => {}
            Attempt::Busy => {
                // The folder is in use: another process has a file in it.
                lock.made = false;
                return Err(Error::Held { folder: folder.to_owned(), holder: lock.holder() });
            }
            // Some network file systems have no locks. A run is worth more than the protection of it.
            Attempt::Failed(error) => {
                lock.warning =
                    Some(format!("{} cannot be locked ({error}): let no second run use it", folder.display()));
            }
        }
        lock.sign().map_err(failed)?;
        Ok(lock)
    }

    /// Something is in the folder now: it stays, however this ends.
    pub fn stay(&mut self) {
        self.made = false;
    }

    /// Writes into the lock file who works here.
    fn sign(&mut self) -> std::io::Result<()> {
        let since = now();
        let who = json!({"pid": std::process::id(), "host": host(), "since": since});
        let file = self.file.file();
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(format!("{who}\n").as_bytes())
    }

    fn holder(&mut self) -> String {
        let mut text = String::new();
        // Windows does not let others read a locked file; then the number of the process stays unknown.
        let _read = self.file.file().take(4096).read_to_string(&mut text);
        let Ok(who) = serde_json::from_str::<Value>(&text) else { return "an unknown process".to_owned() };
        let age = now().saturating_sub(who["since"].as_u64().unwrap_or_default());
        let host = who["host"].as_str().unwrap_or("an unknown machine");
        format!("process {} on {host}, started {} ago", who["pid"], span(age as f64))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A run that never started leaves nothing behind: not even a folder that was made only for the lock.
        let alone = || fs::read_dir(&self.folder).is_ok_and(|entries| entries.count() == 1);
        if self.made && alone() {
            let _removed = fs::remove_file(self.folder.join(LOCK)).and_then(|()| fs::remove_dir(&self.folder));
        } else {
            // Empty means that no process holds it.
            let _cleared = self.file.file().set_len(0);
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What this machine is called.
fn host() -> String {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| fs::read_to_string(path).ok());
    let name = name.or_else(|| std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_and_nothing_is_left_of_a_run_that_came_to_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/word");
        let lock = Lock::take(&folder).unwrap();
        let error = Lock::take(&folder).map(drop).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Disk);
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("ago"), "{text}");
        drop(lock);
        assert!(!folder.exists());
        fs::create_dir_all(&folder).unwrap();
        drop(Lock::take(&folder).unwrap());
        assert_eq!(fs::read(folder.join(LOCK)).unwrap(), b"");
        Lock::take(&folder).unwrap();
    }
}
