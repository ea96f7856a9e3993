//! What says again and again that the holder of a lock is there, and notices when it is not the holder any more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::holder::Holder;
use crate::base::lock::FileLock;

pub(super) struct Heart {
    path: PathBuf,
    holder: Holder,
    end: Sender<()>,
    thread: JoinHandle<FileLock>,
}

impl Heart {
    /// Writes into the file of a lock who holds it, now and from now on.
    pub fn start(mut file: FileLock, path: &Path, holder: Holder, every: Duration) -> io::Result<Self> {
        let mut beating = holder.clone();
        beating.beat(file.file())?;
        let (end, ended) = mpsc::channel();
        let at = path.to_owned();
        let thread = thread::Builder::new().name("lock".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(every) {
                // One that was asleep for so long that another took its place must not write over that one's name.
                if is_lost(&at, &beating) {
                    break;
                }
                // What cannot be written now may be next time.
                let _written = beating.beat(file.file());
            }
            file
        })?;
        Ok(Self { path: path.to_owned(), holder, end, thread })
    }

    /// Whether the lock is another's by now. The file is read each time: how long this process was asleep, it cannot know.
    pub fn is_lost(&self) -> bool {
        is_lost(&self.path, &self.holder)
    }

    /// Ends it; gives the file, if it is still ours.
    pub fn stop(self) -> Option<FileLock> {
        let _ended = self.end.send(());
        let file = self.thread.join().ok()?;
        (!is_lost(&self.path, &self.holder)).then_some(file)
    }
}

/// Whether the file of a lock does not name its holder any more. If it cannot be read or the folder is gone, nobody has it.
fn is_lost(path: &Path, holder: &Holder) -> bool {
    Holder::at(path).is_ok_and(|now| now.is_none_or(|now| !now.is(holder)))
}
