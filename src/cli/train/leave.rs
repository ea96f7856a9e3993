//! The end of a run, however it comes about: what was learned is saved, and the place is reported.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::drive::{Run, rescue_folder};
use super::names;
use super::state_files::SaveOutcome;
use crate::base::files;
use crate::cli::faults::interrupt;
use crate::cli::{is_closed_pipe, wording};
use crate::error::Kind;
use crate::event::{Event, WarningCode};
use crate::{Error, Result};

/// Pauses between the attempts to write the embedding.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

impl Run<'_> {
    /// Saves what there is, and reports how it ended.
    ///
    /// # Errors
    /// Why the run ended, unless it was done; or that it could not be saved, which is worse.
    pub fn end(mut self, ended: Result<Option<Event>>) -> Result<()> {
        let step = self.job.step();
        // A job that goes back to a good vector when it fails is at a good state; of one that broke, the last one is.
        if matches!(ended, Ok(_) | Err(Error::Numeric { .. })) {
            self.latest = self.job.snapshot();
        }
        let unread = matches!(&ended, Err(error) if is_closed_pipe(error));
        if unread {
            self.out.hush();
        }
        // Before the first step the embedding is its initializer, which nobody needs to keep; but a run that was taken
        // back there has left something worse.
        let worth_it = step > 0 || matches!(ended, Err(Error::Numeric { .. }));
        let saved = if worth_it { self.leave().map(Some) } else { Ok(None) };
        match (ended, saved) {
            (Ok(done), Ok(path)) => self.end_well(done, path),
            // The reader of our output went away: not a failure.
            (Err(error), Ok(_)) if unread => Err(error),
            (Err(error), saved) => {
                if let Ok(Some(path)) = &saved {
                    self.out.message(&format!("the embedding after step {step} is in {}", path.display()));
                }
                self.leave_bug_report(&error);
                // Losing what was learned is worse than the reason why the run ended.
                Err(saved.err().unwrap_or(error))
            }
            (Ok(_), Err(error)) => {
                self.leave_bug_report(&error);
                Err(error)
            }
        }
    }

    /// Reports that a run is done, or that it was stopped.
    fn end_well(&mut self, done: Option<Event>, path: Option<PathBuf>) -> Result<()> {
        let (step, of) = (self.job.step(), self.request.config().steps());
        match (&done, &path) {
            (Some(done), _) => self.report(done)?,
            (None, Some(path)) => {
                let path = path.display();
                self.out.message(&format!("stopped after step {step} of {of}: {path}; run the same command to resume"));
            }
            (None, None) => self.out.message("stopped before the first step: nothing was learned, nothing is saved"),
        }
        if let Some(path) = path {
            self.out.path(&path)?;
        }
        done.map(drop).ok_or_else(interrupt::reason)
    }

    /// Leaves a bug report if a developer must look at the error, not for what the user typed or asked for.
    fn leave_bug_report(&mut self, error: &Error) {
        if !matches!(error.kind(), Kind::Internal | Kind::Numeric | Kind::Gpu | Kind::Disk | Kind::DiskFull) {
            return;
        }
        let folder = self.folder.path().to_owned();
        let written = self.bug_report().write(&folder, &rescue_folder(&folder), error);
        if let Some(path) = written {
            self.out.message(&format!("a bug report (no pictures, no prompts) is in {}", path.display()));
        }
    }

    /// Saves the state and the embedding, then what the user asked for in addition, then what is nice to have.
    fn leave(&mut self) -> Result<PathBuf> {
        let path = self.leave_embedding()?;
        self.report(&Event::Saved { what: "embedding".to_owned(), path: path.display().to_string() })?;
        if let (Some(record), Some(bytes)) = (&self.request.args.record, self.job.record()) {
            files::write_whole(record, &bytes)?;
            self.report(&Event::Saved { what: "record".to_owned(), path: record.display().to_string() })?;
        }
        let (token, model) = (&self.request.config().token, &self.request.model.name);
        let title = format!("{token}: {} steps on {model}", self.job.step());
        match self.folder.draw(&title, self.job.preview_prompt()) {
            Ok(events) => events.iter().try_for_each(|event| self.report(event))?,
            Err(error) => {
                self.report(&Event::warning(WarningCode::NotDrawn, format!("{error}; the embedding is saved")))?
            }
        }
        match self.folder.save_report(self.came_of_it()) {
            Ok(event) => self.report(&event)?,
            Err(error) => {
                self.report(&Event::warning(WarningCode::NotDrawn, format!("{error}; the embedding is saved")))?
            }
        }
        Ok(path)
    }

    /// What is known of the embedding. The same however often the run was interrupted: no times are in it.
    fn came_of_it(&self) -> Value {
        let (config, job) = (self.request.config(), &self.job);
        let verdict = job.verdict().map(|mut verdict| {
            verdict.advice = verdict.advice.map(|advice| wording::worded(&advice));
            verdict
        });
        let quality = job.quality().map(|quality| wording::of_event(&Event::Quality(Box::new(quality.clone()))));
        json!({
            "version": env!("CARGO_PKG_VERSION"), "token": config.token, "kind": config.kind, "model": self.request.model.name,
            "steps": job.step(), "of": config.steps(), "verdict": verdict, "quality": quality,
        })
    }

    /// Saves the state and the embedding: into the folder, or when that fails again and again into the system's folder
    /// for temporary files, which is often on another disk.
    fn leave_embedding(&mut self) -> Result<PathBuf> {
        let (embedding, state) = (self.embedding(), self.latest.to_bytes());
        let (mut state_saved, mut embedding_saved, mut trouble) = (false, None, None);
        for pause in [Duration::ZERO].iter().chain(&PAUSES) {
            std::thread::sleep(*pause);
            let written = self.folder.make_again().and_then(|_made| {
                state_saved =
                    state_saved || matches!(self.keeper.save(&state), SaveOutcome::Saved | SaveOutcome::Again(_));
                self.folder.save_embedding(&embedding)
            });
            match written {
                Ok(path) if state_saved => {
                    self.out.event(&self.saved_state())?;
                    return Ok(path);
                }
                Ok(path) => embedding_saved = Some(path),
                Err(error) => {
                    if trouble.is_none() {
                        self.out.message(&format!("{error}; trying again"));
                    }
                    trouble = Some(error);
                }
            }
        }
        if let Some(path) = embedding_saved {
            let state = self.keeper.path();
            let text = format!("{} could not be saved: the run cannot resume from here", state.display());
            self.report(&Event::warning(WarningCode::NotSaved, text))?;
            return Ok(path);
        }
        let bytes = embedding.to_safetensors();
        let elsewhere = rescue_folder(self.folder.path());
        let rescued = files::make_folder(&elsewhere)
            .and_then(|()| files::write_whole(&elsewhere.join(names::EMBEDDING), &bytes))
            // The embedding is what matters; the state only saves time.
            .map(|()| files::write_whole(&elsewhere.join(names::STATES[0]), &state).is_ok());
        let source = match trouble {
            Some(Error::Write { source, .. }) => source,
            other => std::io::Error::other(other.map_or_else(String::new, |error| error.to_string())),
        };
        let path = self.folder.path().join(names::EMBEDDING);
        Err(Error::NotKept { path, bytes: bytes.len(), source, rescued: rescued.ok().map(|_state| elsewhere) })
    }
}
