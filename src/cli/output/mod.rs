//! What goes where: results and JSON to standard output, messages to standard error.

pub mod json;
mod progress;
pub mod terminal;

use std::path::Path;

use serde::Serialize;

use self::progress::Progress;
pub use self::progress::span;
use super::args::Shared;
use super::{STDOUT, wording};
use crate::event::Event;
use crate::{Error, Result};

/// Where a command prints.
pub struct Output {
    json: bool,
    progress: Progress,
}

impl Output {
    pub fn new(shared: &Shared) -> Self {
        Self { json: shared.json, progress: Progress::new(shared.quiet, shared.json) }
    }

    /// Reports an event: to people as the line or the bar that it is worth, to programs as a JSON object.
    ///
    /// # Errors
    /// [`Error::Write`] if standard output cannot be written to.
    pub fn event(&mut self, event: &Event) -> Result<()> {
        let event = &wording::of_event(event);
        self.progress.show(event);
        if self.json { written(json::line(event)) } else { Ok(()) }
    }

    /// Prints nothing more on standard output, whose reader went away.
    pub fn hush(&mut self) {
        self.json = false;
    }

    /// Prints a message for people, on standard error.
    pub fn message(&mut self, message: &str) {
        self.progress.print(&wording::worded(message));
    }

    /// Prints the result on standard output: lines for people, or for programs an object, which must have an `event`
    /// that names it.
    pub fn result(&mut self, lines: &[impl AsRef<str>], object: &impl Serialize) -> Result<()> {
        self.progress.clear();
        written(if self.json { json::line(object) } else { terminal::results(lines) })
    }

    /// Prints a line of the result for people only: programs have had it as an event.
    pub fn line(&mut self, line: &str) -> Result<()> {
        self.progress.clear();
        if self.json { Ok(()) } else { written(terminal::results(&[line])) }
    }

    /// Prints the path of a file that was saved, which programs have had as an event. Where a script reads it, it is the
    /// path to the letter.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        match path.to_str() {
            Some(path) if !self.json && !terminal::shows_results() => self.bytes(format!("{path}\n").as_bytes()),
            _ => self.line(&path.display().to_string()),
        }
    }

    /// Writes a result that is a file.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        written(terminal::bytes(bytes))
    }
}

/// Prints nothing, for tests.
#[cfg(test)]
pub fn quiet() -> Output {
    Output { json: false, progress: Progress::new(true, false) }
}

fn written(result: std::io::Result<()>) -> Result<()> {
    result.map_err(|source| Error::Write { path: STDOUT.into(), source })
}
