//! `--scratch`: a run works in a folder on a local disk, and its own folder, which may be on slow storage that machines share,
//! gets whole files only: the state once in a while, so that another machine can go on from there, and everything at the end.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::drive::Run;
use super::folder;
use super::leave::PAUSES;
use super::names::{self, LOG, PREVIEWS, STATES};
use super::state_files::{self, Keeper, ResumableRun};
use crate::base::bytes::sha256;
use crate::base::files;
use crate::cli::output::span;
use crate::event::{Event, WarningCode};
use crate::{Error, Result};

/// What is lost with a machine is no more than the work of this time, as long as publishing takes little of it.
const EVERY: Duration = Duration::from_secs(30);
/// Publishing may take one part of the time in so many.
const SHARE: u32 = 20;

/// How a file was when it was published: its length, and when it was written.
type Published = (u64, Option<SystemTime>);

/// A folder that a run works in, and the run's own folder.
pub(super) struct Scratch {
    folder: PathBuf,
    home: PathBuf,
    /// Keeps the states in the run's own folder.
    keeper: Keeper,
    next: Instant,
    /// Since when nothing can be published.
    trouble: Option<Instant>,
    published: HashMap<PathBuf, Published>,
}

impl Scratch {
    /// The folder inside of `place` for the run whose own folder is `home`; always the same one, so that a run which was killed finds
    /// it again.
    ///
    /// # Errors
    /// [`Error::Write`] if nothing can be written there.
    pub fn new(place: &Path, home: &Path) -> Result<Self> {
        files::check_writable(place)?;
        let whole = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        let sum = &sha256(whole.as_os_str().as_encoded_bytes())[..12];
        Ok(Self {
            folder: place.join(format!("pseudoword-{}-{sum}", files::file_name(&whole))),
            home: home.to_owned(),
            keeper: Keeper::new(home),
            next: Instant::now(),
            trouble: None,
            published: HashMap::new(),
        })
    }

    /// Where the run works.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a run was found here and not in its own folder.
    pub fn has(&self, run: &ResumableRun) -> bool {
        run.keeper.path().starts_with(&self.folder)
    }

    /// The run in its own folder, or the one that was left here if that is newer: it was killed before it could publish what it had.
    ///
    /// # Errors
    /// As [`folder::find`].
    pub fn find(&self, files: &[String], resume: bool) -> Result<Option<ResumableRun>> {
        // One that is damaged is no help.
        let left = state_files::find(&self.folder, files).ok().flatten();
        let found = folder::find(&self.home, files, false, resume && left.is_none());
        let Some(left) = left else { return found };
        match found {
            Ok(Some(found)) if left.state.order(&found.state) != Ordering::Greater => Ok(Some(found)),
            Ok(_) | Err(Error::BadFile { .. }) => Ok(Some(left)),
            Err(error) => Err(error),
        }
    }

    /// Puts into the folder what the run goes on from, and nothing else.
    pub fn fill(&mut self, run: Option<ResumableRun>, files: &[String]) -> Result<Option<ResumableRun>> {
        if let Some(run) = run.as_ref().filter(|run| !self.has(run)) {
            self.clear()?;
            for name in STATES.into_iter().chain([LOG]).map(PathBuf::from).chain(previews(&self.home)?) {
                let from = self.home.join(&name);
                if from.exists() {
                    files::write_with_folder(&self.folder.join(&name), &files::read(&from)?)?;
                }
            }
            let Some(here) = state_files::find(&self.folder, files)? else {
                return Err(Error::Internal("the state of the run was not copied".to_owned()));
            };
            self.keeper_of_home(files);
            return Ok(Some(ResumableRun { warning: run.warning.clone(), ..here }));
        }
        if run.is_none() {
            self.clear()?;
        }
        self.keeper_of_home(files);
        Ok(run)
    }

    /// What keeps states in the run's own folder has to know which of those that are there is whole.
    fn keeper_of_home(&mut self, files: &[String]) {
        if let Some(run) = state_files::find(&self.home, files).ok().flatten() {
            self.keeper = run.keeper;
        }
    }

    fn clear(&self) -> Result<()> {
        if self.folder.exists() {
            let failed = |source| Error::Write { path: self.folder.clone(), source };
            fs::remove_dir_all(&self.folder).map_err(failed)?;
        }
        Ok(files::make_folder(&self.folder)?)
    }

    /// Writes what is new into the run's own folder: the state after what belongs to it, and the embeddings, which say that all is
    /// there, last.
    fn publish(&mut self, state: Option<&[u8]>) -> Result<()> {
        let begun = Instant::now();
        let is_embedding = |name: &PathBuf| name.extension() == Some(OsStr::new("safetensors"));
        let names = listed(&self.folder)?.into_iter().chain(previews(&self.folder)?);
        let (embeddings, others): (Vec<_>, Vec<_>) = names.partition(is_embedding);
        let published = others.iter().try_for_each(|name| self.copy(name)).and_then(|()| {
            state.map_or(Ok(()), |state| self.keeper.write(state))?;
            embeddings.iter().try_for_each(|name| self.copy(name))
        });
        self.next = Instant::now() + EVERY.max(begun.elapsed() * SHARE);
        published
    }

    fn copy(&mut self, name: &Path) -> Result<()> {
        let (from, to) = (self.folder.join(name), self.home.join(name));
        let about = fs::metadata(&from).map_err(|source| Error::Read { path: from.clone(), source })?;
        let now = (about.len(), about.modified().ok());
        if self.published.get(name) != Some(&now) || !to.exists() {
            files::write_with_folder(&to, &files::read(&from)?)?;
            self.published.insert(name.to_owned(), now);
        }
        Ok(())
    }
}

/// The files in a folder that are published as they are.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !name.starts_with('.') && !STATES.contains(&name.as_str()) {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    names.sort();
    Ok(names)
}

/// The previews in a run's folder, if there are any.
fn previews(folder: &Path) -> Result<Vec<PathBuf>> {
    let place = folder.join(PREVIEWS);
    let names = if place.exists() { listed(&place)? } else { Vec::new() };
    Ok(names.into_iter().map(|name| Path::new(PREVIEWS).join(name)).collect())
}

impl Run<'_> {
    /// Publishes what there is, if the run works elsewhere and it is time for that. A failure costs nothing as long as the scratch
    /// folder is there.
    pub fn publish_if_due(&mut self) -> Result<()> {
        let Some(scratch) = &mut self.request.scratch else { return Ok(()) };
        if Instant::now() < scratch.next {
            return Ok(());
        }
        let home = scratch.home.display().to_string();
        // The run's own folder may have been removed.
        let published = self.folder.make_again().and_then(|_made| scratch.publish(Some(&self.latest.to_bytes())));
        let warning = match (published, scratch.trouble) {
            (Ok(()), None) | (Err(_), Some(_)) => return Ok(()),
            (Ok(()), Some(since)) => {
                scratch.trouble = None;
                let since = span(since.elapsed().as_secs_f64());
                Event::warning(
                    WarningCode::SavedAgain,
                    format!("{home} is written to again, for the first time in {since}"),
                )
            }
            (Err(error), None) => {
                scratch.trouble = Some(Instant::now());
                let folder = scratch.folder.display();
                let text =
                    format!("{error}; training continues in {folder}, and writing to {home} will be tried again");
                Event::warning(WarningCode::NotSaved, text)
            }
        };
        self.report(&warning)
    }

    /// Publishes everything, with the state if there is one, again and again if that fails.
    ///
    /// # Errors
    /// [`Error::NotKept`], which says where everything is.
    pub fn publish(&mut self, with_state: bool) -> Result<()> {
        let Some(scratch) = &mut self.request.scratch else { return Ok(()) };
        let state = with_state.then(|| self.latest.to_bytes());
        let mut publish = || self.folder.make_again().and_then(|_made| scratch.publish(state.as_deref()));
        let mut published = publish();
        for pause in PAUSES {
            let Err(error) = &published else { return Ok(()) };
            self.out.message(&format!("{error}; trying again"));
            std::thread::sleep(pause);
            published = publish();
        }
        let Err(error) = published else { return Ok(()) };
        let source = match error {
            Error::Write { source, .. } => source,
            error => std::io::Error::other(error.to_string()),
        };
        let path = scratch.home.join(&names::embeddings(&self.request.config.tokens())[0]);
        let embeddings = self.job.embeddings();
        let bytes = embeddings.iter().map(|embedding| embedding.to_safetensors().len()).sum();
        Err(Error::NotKept { path, bytes, source, rescued: Some(scratch.folder.clone()) })
    }

    /// Publishes the last lines of the log and what else was written at the very end; then the scratch folder is not needed any more.
    pub fn leave_scratch(&mut self) {
        let Some(scratch) = &mut self.request.scratch else { return };
        let folder = scratch.folder.clone();
        let left = scratch
            .publish(None)
            .and_then(|()| fs::remove_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source }));
        if let Err(error) = left {
            self.out.message(&format!("{} is left as it is: {error}", folder.display()));
        }
    }
}
