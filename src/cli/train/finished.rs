//! A run that has nothing left to do.

use std::path::PathBuf;

use super::names;
use super::request::Request;
use crate::Result;
use crate::cli::embeddings;
use crate::cli::output::Output;
use crate::embedding::Embedding;
use crate::event::Event;
use crate::train::{RunState, TrainJob};

/// A finished run.
pub(super) struct FinishedRun {
    steps: u32,
    converged: bool,
    /// Its embeddings.
    paths: Vec<PathBuf>,
}

impl FinishedRun {
    /// The run in the folder, if all its steps are made, its word was tried and everything is written: it may have been killed in
    /// between.
    pub fn of(state: &RunState, request: &Request<'_>, job: &TrainJob) -> Option<Self> {
        let files = names::embeddings(&request.config().tokens());
        let paths: Vec<PathBuf> = files.iter().map(|file| request.folder.join(file)).collect();
        let made = state.step() >= request.config().steps() || (state.converged() && state.step() == state.steps());
        let is_saved = |(path, embedding): (&PathBuf, Embedding)| {
            embeddings::read_file(path).is_ok_and(|saved| saved.encoders == embedding.encoders)
        };
        let written =
            paths.iter().zip(job.embeddings()).all(is_saved) && request.folder.join(names::LOSS_CURVE).exists();
        (made && written && !job.is_to_be_tried()).then(|| Self {
            steps: state.step(),
            converged: state.converged(),
            paths,
        })
    }

    /// Says that there is nothing left to do.
    pub fn report(self, out: &mut Output) -> Result<()> {
        let made = if self.steps == 1 { "1 step is made".to_owned() } else { format!("{} steps are made", self.steps) };
        let why = if self.converged { ", because its loss had settled" } else { "" };
        out.message(&format!(
            "this run is finished: {made}{why}. --overwrite starts over; with --lr-schedule constant a run can continue \
             with more --steps"
        ));
        for path in &self.paths {
            out.event(&Event::Saved { what: "embedding".to_owned(), path: path.display().to_string() })?;
        }
        out.event(&Event::Done { steps: self.steps, secs: 0.0 })?;
        self.paths.iter().try_for_each(|path| out.path(path))
    }
}
