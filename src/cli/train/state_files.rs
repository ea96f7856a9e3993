//! The state of a run on the disk, so that it can resume: written while it trains, two generations of it.
//!
//! A state is some kilobytes. It is written beside its place, synced and renamed, and the one before it keeps the name
//! `state.prev`: at every moment at least one whole state is there, which is never older than the last one that was
//! reported.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::names::{STATES, UNREADABLE_STATE};
use crate::base::failpoints;
use crate::base::files::{ReadError, read, write_and_keep, write_whole};
use crate::train::RunState;
use crate::train::generations::{Damaged, Generations, Saved, Store};
use crate::{Error, Result};

/// Saving may take this fraction of the time: one part in 20. On an SSD the three syncs take about a millisecond, less
/// than that of any step, and every step is saved; where they are slow (a network drive, a spinning disk that is busy)
/// a few steps pass.
const SHARE: u32 = 20;
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// After a failure: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// For tests: every step is saved, however long that takes.
static EVERY_STEP: LazyLock<bool> = LazyLock::new(|| failpoints::pass("every-step").is_some());

/// The folder of a run, as a store of two states.
struct StateFolder(PathBuf);

impl Store for StateFolder {
    type Problem = Error;

    fn name(&self, place: usize) -> String {
        self.path(place).display().to_string()
    }

    async fn read(&self) -> Result<Vec<(usize, Result<Vec<u8>, String>)>> {
        let mut found = Vec::new();
        for place in 0..STATES.len() {
            match read(&self.path(place)) {
                Ok(bytes) => found.push((place, Ok(bytes))),
                Err(ReadError::Failed { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(ReadError::Unusable { reason, .. }) => found.push((place, Err(reason))),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    async fn write(&self, state: &[u8], keep: Option<usize>) -> Result<usize> {
        let [newest, previous] = STATES.map(|name| self.0.join(name));
        if keep.is_some_and(|place| place > 0) {
            // What has the newest name is damaged: it must not take the place of the whole one.
            match fs::rename(&newest, self.0.join(UNREADABLE_STATE)) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(Error::Write { path: newest, source });
                }
                _ => write_whole(&newest, state)?,
            }
        } else {
            write_and_keep(&newest, state, Some(&previous))?;
        }
        Ok(0)
    }
}

impl StateFolder {
    fn path(&self, place: usize) -> PathBuf {
        self.0.join(STATES[place])
    }
}

/// A run that can resume.
pub(super) struct ResumableRun {
    pub state: RunState,
    /// What to report about it: that the newest state is damaged.
    pub warning: Option<String>,
    /// What keeps its states from now on.
    pub keeper: Keeper,
}

/// Finds the newest whole state in a run's folder, whose embeddings have these files.
///
/// # Errors
/// [`Error::BadFile`] if there are states and none is whole: a run never starts over unless the user says so.
pub(super) fn find(folder: &Path, files: &[String]) -> Result<Option<ResumableRun>> {
    let keeper = Keeper::new(folder);
    let Saved { whole, damaged } = pollster::block_on(keeper.generations.newest())?;
    let Some(whole) = whole else {
        if damaged.is_empty() {
            return Ok(None);
        }
        let said: Vec<String> = damaged.iter().map(|Damaged { name, reason }| format!("{name}: {reason}")).collect();
        return Err(Error::BadFile {
            file: folder.display().to_string(),
            reason: format!(
                "there is a run, but its state cannot be used ({}). Give --overwrite to start over, or another --out; the \
                 embedding as it was last saved can be a start: --init {}",
                said.join("; "),
                files.iter().map(|file| folder.join(file).display().to_string()).collect::<Vec<_>>().join(" or ")
            ),
        });
    };
    let warning = damaged.first().map(|Damaged { name, reason }| {
        let step = whole.state.step();
        format!("{name} cannot be used: {reason}. {}, from step {step}, is used instead", whole.name)
    });
    Ok(Some(ResumableRun { state: whole.state, warning, keeper }))
}

/// Forgets the run that was in a folder.
pub(super) fn forget(folder: &Path) -> Result<()> {
    for name in STATES {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::Write { path, source: error }),
            _ => {}
        }
    }
    Ok(())
}

/// What came of an attempt to save.
pub(super) enum SaveOutcome {
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
    generations: Generations<StateFolder>,
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
        let generations = Generations::new(StateFolder(folder.to_owned()));
        Self { generations, last: None, trouble: None }
    }

    /// Where the state is.
    pub fn path(&self) -> PathBuf {
        self.generations.store().path(0)
    }

    /// Whether it is time to save.
    pub fn due(&self) -> bool {
        match (&self.trouble, &self.last) {
            (Some(trouble), _) => Instant::now() >= trouble.next,
            (None, None) => true,
            (None, Some(_)) if *EVERY_STEP => true,
            (None, Some((when, took))) => when.elapsed() >= LONGEST.min(*took * SHARE),
        }
    }

    /// Writes a state now.
    pub fn write(&mut self, state: &[u8]) -> Result<()> {
        pollster::block_on(self.generations.write(state))
    }

    /// Saves a state. A failure is remembered and the next attempt put off.
    pub fn save(&mut self, state: &[u8]) -> SaveOutcome {
        let begun = Instant::now();
        match self.write(state) {
            Ok(()) => {
                self.last = Some((Instant::now(), begun.elapsed()));
                self.trouble.take().map_or(SaveOutcome::Saved, |trouble| SaveOutcome::Again(trouble.since.elapsed()))
            }
            Err(error) => {
                let first = self.trouble.is_none();
                let pause = self.trouble.as_ref().map_or(PAUSES.0, |trouble| PAUSES.1.min(trouble.pause * 2));
                let since = self.trouble.as_ref().map_or(begun, |trouble| trouble.since);
                self.trouble = Some(Trouble { since, next: Instant::now() + pause, pause });
                if first { SaveOutcome::Failed(error) } else { SaveOutcome::Still }
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
        assert!(matches!(keeper.save(b"x"), SaveOutcome::Failed(_)));
        assert!(!keeper.due(), "a failure is not tried again at once");
        assert!(matches!(keeper.save(b"x"), SaveOutcome::Still));
    }

    #[test]
    fn forgetting_a_run_leaves_no_generation_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(folder.path());
        for _ in 0..STATES.len() {
            assert!(matches!(keeper.save(b"x"), SaveOutcome::Saved));
        }
        let here = || pollster::block_on(keeper.generations.store().read()).unwrap().len();
        assert_eq!(here(), STATES.len(), "every place is taken");
        forget(folder.path()).unwrap();
        assert_eq!(here(), 0);
        forget(folder.path()).unwrap();
    }

    #[test]
    fn what_is_not_a_state_is_never_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(folder.path(), &[]).unwrap().is_none());
        fs::write(folder.path().join(STATES[1]), b"PSWDRUN1 and nothing more").unwrap();
        let error = find(folder.path(), &[]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Input);
        assert!(error.to_string().contains("--overwrite"), "{error}");
    }
}
