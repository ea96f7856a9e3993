//! The end of a run, however it comes about: what was learned is saved, and the place is reported.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::drive::{Run, rescue_folder};
use super::folder::write_embeddings;
use super::names;
use super::state_files::SaveOutcome;
use crate::base::files;
use crate::cli::faults::interrupt;
use crate::cli::{is_closed_pipe, wording};
use crate::error::Kind;
use crate::event::{Event, WarningCode};
use crate::{Error, Result};

/// Pauses between the attempts to write what was learned.
pub(super) const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

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
        // What another run has taken over is not ours to write to.
        let ended = self.folder.check().and(ended);
        let is_ours = !matches!(ended, Err(Error::Held { .. }));
        let unread = matches!(&ended, Err(error) if is_closed_pipe(error));
        if unread {
            self.out.hush();
        }
        // Before the first step the embedding is its initializer, which nobody needs to keep; but a run that was taken
        // back there has left something worse.
        let worth_it = is_ours && (step > 0 || matches!(ended, Err(Error::Numeric { .. })));
        let saved = if worth_it { self.leave().map(Some) } else { Ok(None) };
        let published = if is_ours { self.publish(worth_it) } else { Ok(()) };
        let may_leave = is_ours && published.is_ok();
        let saved = saved.and_then(|paths| published.map(|()| paths));
        let ended = self.report_end(ended, saved, unread);
        if may_leave {
            self.leave_scratch();
        }
        ended
    }

    /// Leaves what there is for the same run to be begun again later from its last step, and says nothing of it.
    ///
    /// # Errors
    /// That it could not be saved.
    pub fn put_aside(mut self) -> Result<()> {
        let worth_it = self.latest.step() > 0;
        if worth_it {
            self.leave_embeddings()?;
        }
        self.publish(worth_it)?;
        self.leave_scratch();
        Ok(())
    }

    fn report_end(
        &mut self,
        ended: Result<Option<Event>>,
        saved: Result<Option<Vec<PathBuf>>>,
        unread: bool,
    ) -> Result<()> {
        match (ended, saved) {
            (Ok(done), Ok(paths)) => self.end_well(done, &paths.unwrap_or_default()),
            // The reader of our output went away: not a failure.
            (Err(error), Ok(_)) if unread => Err(error),
            (Err(error), saved) => {
                if let Ok(Some(paths)) = &saved {
                    let (what, are) = if paths.len() > 1 { ("embeddings", "are") } else { ("embedding", "is") };
                    let step = self.job.step();
                    self.out.message(&format!("the {what} after step {step} {are} in {}", listed(paths)));
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
    fn end_well(&mut self, done: Option<Event>, paths: &[PathBuf]) -> Result<()> {
        let (step, of) = (self.job.step(), self.request.config().steps());
        match (&done, paths) {
            (Some(done), _) => self.report(done)?,
            (None, [_, ..]) => {
                let paths = listed(paths);
                self.out
                    .message(&format!("stopped after step {step} of {of}: {paths}; run the same command to resume"));
            }
            (None, []) => self.out.message("stopped before the first step: nothing was learned, nothing is saved"),
        }
        paths.iter().try_for_each(|path| self.out.path(path))?;
        done.map(drop).ok_or_else(interrupt::reason)
    }

    /// Leaves a bug report if a developer must look at the error, not for what the user typed or asked for.
    fn leave_bug_report(&mut self, error: &Error) {
        if matches!(error, Error::Held { .. })
            || !matches!(error.kind(), Kind::Internal | Kind::Numeric | Kind::Gpu | Kind::Disk | Kind::DiskFull)
        {
            return;
        }
        let folder = self.folder.path().to_owned();
        let written = self.bug_report().write(&folder, &rescue_folder(&folder), error);
        if let Some(path) = written {
            let path = self.folder.shown(path);
            self.out.message(&format!("a bug report (no pictures, no prompts) is in {}", path.display()));
        }
    }

    /// Saves the state and the embeddings, then what the user asked for in addition, then what is nice to have.
    fn leave(&mut self) -> Result<Vec<PathBuf>> {
        let paths = self.leave_embeddings()?;
        for path in &paths {
            self.report(&Event::Saved { what: "embedding".to_owned(), path: path.display().to_string() })?;
        }
        if let (Some(record), Some(bytes)) = (&self.request.args.record, self.job.record()) {
            files::write_whole(record, &bytes)?;
            self.report(&Event::Saved { what: "record".to_owned(), path: record.display().to_string() })?;
        }
        let (tokens, model) = (self.request.config().tokens().join(" and "), &self.request.model.name);
        let title = format!("{tokens}: {} steps on {model}", self.job.step());
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
        Ok(paths)
    }

    /// What is known of the embedding. The same however often the run was interrupted: no times are in it.
    fn came_of_it(&self) -> Value {
        let (config, job) = (self.request.config(), &self.job);
        let verdict = job.verdict().map(|mut verdict| {
            verdict.advice = verdict.advice.map(|advice| wording::worded(&advice));
            verdict
        });
        let quality = job.quality().map(|quality| wording::of_event(&Event::Quality(Box::new(quality.clone()))));
        let mut report = json!({
            "version": env!("CARGO_PKG_VERSION"), "token": config.token, "kind": config.kind, "model": self.request.model.name,
            "steps": job.step(), "of": config.steps(), "verdict": verdict, "quality": quality,
        });
        if let Some(second) = config.second() {
            report["second"] = json!({"token": second.token, "kind": second.kind});
        }
        report
    }

    /// Saves the state and the embeddings: into the folder, or when that fails again and again into the system's folder
    /// for temporary files, which is often on another disk.
    fn leave_embeddings(&mut self) -> Result<Vec<PathBuf>> {
        let (embeddings, state) = (self.embeddings(), self.latest.to_bytes());
        let (mut state_saved, mut embeddings_saved, mut trouble) = (false, None, None);
        for pause in [Duration::ZERO].iter().chain(&PAUSES) {
            std::thread::sleep(*pause);
            let written = self.folder.make_again().and_then(|_made| {
                state_saved =
                    state_saved || matches!(self.keeper.save(&state), SaveOutcome::Saved | SaveOutcome::Again(_));
                self.folder.save_embeddings(&embeddings)
            });
            match written {
                Ok(paths) if state_saved => {
                    self.out.event(&self.saved_state())?;
                    return Ok(paths);
                }
                Ok(paths) => embeddings_saved = Some(paths),
                Err(error) => {
                    if trouble.is_none() {
                        self.out.message(&format!("{error}; trying again"));
                    }
                    trouble = Some(error);
                }
            }
        }
        if let Some(paths) = embeddings_saved {
            let state = self.keeper.path();
            let text = format!("{} could not be saved: the run cannot resume from here", state.display());
            self.report(&Event::warning(WarningCode::NotSaved, text))?;
            return Ok(paths);
        }
        let bytes = embeddings.iter().map(|embedding| embedding.to_safetensors().len()).sum();
        let elsewhere = rescue_folder(self.folder.path());
        let rescued = files::make_folder(&elsewhere)
            .map_err(Error::from)
            .and_then(|()| write_embeddings(&elsewhere, &embeddings))
            // The embedding is what matters; the state only saves time.
            .map(|_paths| files::write_whole(&elsewhere.join(names::STATES[0]), &state).is_ok());
        let source = match trouble {
            Some(Error::Write { source, .. }) => source,
            other => std::io::Error::other(other.map_or_else(String::new, |error| error.to_string())),
        };
        let files = names::embeddings(&self.request.config().tokens());
        let path = self.folder.shown(self.folder.path().join(&files[0]));
        Err(Error::NotKept { path, bytes, source, rescued: rescued.ok().map(|_state| elsewhere) })
    }
}

/// Paths in a sentence.
fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
