//! The state of a run on the disk, so that it can go on: written while it trains, two generations of it.
//!
//! A state is some kilobytes. It is written beside its place, synced and renamed, and the one before it keeps the name
//! `state.prev`: at every moment at least one whole state is there, which is never older than the last that was told of.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::failpoints;
use crate::base::files::{ReadError, read, write_and_keep};
use crate::train::RunState;
use crate::{Error, Result};

/// The newest state, and the one before.
pub(super) const STATE: &str = "state";
const PREVIOUS: &str = "state.prev";
/// A state that cannot be read is kept under this name, for whoever wants to know what happened to it.
const DAMAGED: &str = "state.damaged";

/// Saving may take one part in so many of the time. On an SSD the three syncs take about a millisecond, less than that of
/// any step, and every step is saved; where they are slow (a network drive, a spinning disk that is busy) a few steps pass.
const SHARE: u32 = 20;
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// After a failure: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A state that was found.
pub(super) struct Found {
    pub state: RunState,
    /// What is to be said of it: that the newest is damaged.
    pub warning: Option<String>,
    /// Whether the newest must make way.
    damaged: bool,
}

/// Finds the newest whole state in a run's folder.
///
/// # Errors
/// [`Error::BadFile`] if there are states and none is whole: a run is never begun again in silence.
pub(super) fn find(folder: &Path) -> Result<Option<Found>> {
    let mut problems = Vec::new();
    for name in [STATE, PREVIOUS] {
        let path = folder.join(name);
        let shown = path.display().to_string();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(ReadError::Failed { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            Err(ReadError::Unusable { reason, .. }) => {
                problems.push((shown, reason));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match RunState::read(&bytes, &shown) {
            Ok(state) => {
                let warning = problems.first().map(|(newest, reason)| {
                    format!("{newest} cannot be used: {reason}. {shown}, from step {}, is used instead", state.step())
                });
                return Ok(Some(Found { state, warning, damaged: !problems.is_empty() }));
            }
            Err(Error::BadFile { reason, .. }) => problems.push((shown, reason)),
            Err(error) => return Err(error),
        }
    }
    let said: Vec<String> = problems.iter().map(|(file, reason)| format!("{file}: {reason}")).collect();
    match said.is_empty() {
        true => Ok(None),
        false => Err(Error::BadFile {
            file: folder.display().to_string(),
            reason: format!(
                "there is a run, but its state cannot be used ({}). Give --overwrite to begin anew, or another --out; the \
                 word as it was last saved can be a start: --init {}",
                said.join("; "),
                folder.join(super::folder::WORD).display()
            ),
        }),
    }
}

impl Found {
    /// Clears the way for the states to come: a damaged one must not take the place of the whole one.
    pub fn make_way(&self, folder: &Path) -> Result<()> {
        if !self.damaged {
            return Ok(());
        }
        let (from, to) = (folder.join(STATE), folder.join(DAMAGED));
        fs::rename(&from, &to).map_err(|source| Error::Write { path: from, source })
    }
}

/// Forgets the run that was in a folder.
pub(super) fn forget(folder: &Path) -> Result<()> {
    for name in [STATE, PREVIOUS] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::Write { path, source: error }),
            _ => {}
        }
    }
    Ok(())
}

/// What came of an attempt to save.
pub(super) enum Attempt {
    /// Saved.
    Saved,
    /// Saved, after it could not be for some time.
    Again(Duration),
    /// Not saved, and so it was before.
    Still,
    /// Not saved, for the first time.
    Failed(Error),
}

/// Keeps the state of a run on the disk.
pub(super) struct Keeper {
    folder: PathBuf,
    /// For tests: the pauses are none.
    every_step: bool,
    /// When it was last saved, and how long that took.
    last: Option<(Instant, Duration)>,
    trouble: Option<Trouble>,
}

struct Trouble {
    since: Instant,
    next: Instant,
    pause: Duration,
}

impl Keeper {
    pub fn new(folder: &Path) -> Self {
        let every_step = failpoints::pass("every-step").is_some();
        Self { folder: folder.to_owned(), every_step, last: None, trouble: None }
    }

    /// Where the state is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    /// Whether it is time to save.
    pub fn due(&self) -> bool {
        match (&self.trouble, &self.last) {
            (Some(trouble), _) => Instant::now() >= trouble.next,
            (None, None) => true,
            (None, Some(_)) if self.every_step => true,
            (None, Some((when, took))) => when.elapsed() >= LONGEST.min(*took * SHARE),
        }
    }

    /// Saves a state. A failure is remembered and the next attempt put off.
    pub fn save(&mut self, state: &[u8]) -> Attempt {
        let begun = Instant::now();
        match write_and_keep(&self.path(), state, Some(&self.folder.join(PREVIOUS))) {
            Ok(()) => {
                self.last = Some((Instant::now(), begun.elapsed()));
                self.trouble.take().map_or(Attempt::Saved, |trouble| Attempt::Again(trouble.since.elapsed()))
            }
            Err(error) => {
                let first = self.trouble.is_none();
                let pause = self.trouble.as_ref().map_or(PAUSES.0, |trouble| PAUSES.1.min(trouble.pause * 2));
                let since = self.trouble.as_ref().map_or(begun, |trouble| trouble.since);
                self.trouble = Some(Trouble { since, next: Instant::now() + pause, pause });
                if first { Attempt::Failed(error.into()) } else { Attempt::Still }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_takes_a_small_part_of_the_time() {
        let mut keeper = Keeper::new(Path::new("nowhere"));
        assert!(keeper.due(), "the first step is always saved");
        keeper.last = Some((Instant::now(), Duration::from_secs(1)));
        assert!(!keeper.due());
        keeper.last = Some((Instant::now(), Duration::ZERO));
        assert!(keeper.due());
        assert!(matches!(keeper.save(b"x"), Attempt::Failed(_)));
        assert!(!keeper.due(), "a failure is not tried again at once");
        assert!(matches!(keeper.save(b"x"), Attempt::Still));
    }

    #[test]
    fn what_is_no_state_is_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(folder.path()).unwrap().is_none());
        fs::write(folder.path().join(PREVIOUS), b"PSWDRUN1 and nothing more").unwrap();
        let error = find(folder.path()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Input);
        assert!(error.to_string().contains("--overwrite"), "{error}");
    }
}
