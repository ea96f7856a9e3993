//! Who is told what: results and JSON on standard output, the rest on standard error.

use std::io::Write;

use serde::Serialize;

use super::args::Shared;
use super::progress::Progress;
use super::{STDOUT, json};
use crate::event::Event;
use crate::{Error, Result};

/// Where a command says things.
pub(super) struct Output {
    json: bool,
    progress: Progress,
}

impl Output {
    pub fn new(shared: &Shared) -> Self {
        Self { json: shared.json, progress: Progress::new(shared.quiet, shared.json) }
    }

    /// Tells an event.
    ///
    /// # Errors
    /// [`Error::Write`] if standard output cannot be written to.
    pub fn event(&mut self, event: &Event) -> Result<()> {
        self.progress.show(event);
        if self.json { written(json::line(event)) } else { Ok(()) }
    }

    /// Tells nothing more on standard output, whose reader went away.
    pub fn hush(&mut self) {
        self.json = false;
    }

    /// Says a sentence to people.
    pub fn say(&mut self, sentence: &str) {
        self.progress.say(sentence);
    }

    /// Gives the result: a line for people, or for programs an object, which must have an `event` that names it.
    pub fn result(&mut self, line: &str, object: &impl Serialize) -> Result<()> {
        self.progress.clear();
        if self.json { written(json::line(object)) } else { self.bytes(format!("{line}\n").as_bytes()) }
    }

    /// Gives a result that events have told already, such as the path of a saved file.
    pub fn told(&mut self, line: &str) -> Result<()> {
        self.progress.clear();
        if self.json { Ok(()) } else { self.bytes(format!("{line}\n").as_bytes()) }
    }

    /// Gives a result that is a file.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }
}

fn written(result: std::io::Result<()>) -> Result<()> {
    result.map_err(|source| Error::Write { path: STDOUT.into(), source })
}
