//! What goes where: results and JSON to standard output, messages to standard error.

pub mod json;
mod progress;
pub mod terminal;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use serde::Serialize;
use serde_json::{Map, Value};

use self::progress::Progress;
pub use self::progress::span;
use super::args::Shared;
use super::{STDOUT, wording};
use crate::event::Event;
use crate::{Error, Result};

/// Where a command prints. A clone prints to the same place, and what it prints can be about another run.
#[derive(Clone)]
pub struct Output {
    /// Whether programs read standard output: of all clones, until its reader goes away.
    json: Rc<Cell<bool>>,
    /// What every object has, of an event that is one of several runs'.
    about: Map<String, Value>,
    progress: Progress,
}

impl Output {
    pub fn new(shared: &Shared) -> Self {
        let progress = Progress::new(shared.quiet, shared.json);
        Self { json: Rc::new(Cell::new(shared.json)), about: Map::new(), progress }
    }

    /// Another output, for a run beside others: people see its name before what is said of it.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { progress: self.progress.named(name), ..self.clone() }
    }

    /// Reports an event: to people as the line or the bar that it is worth, to programs as a JSON object.
    ///
    /// # Errors
    /// [`Error::Write`] if standard output cannot be written to.
    pub fn event(&mut self, event: &Event) -> Result<()> {
        let event = &wording::of_event(event);
        self.progress.show(event);
        if self.json.get() { self.object(event) } else { Ok(()) }
    }

    /// Says from now on what events are about: the fields of an object are added to each, or none.
    pub fn about(&mut self, what: Option<Value>) {
        self.about = match what {
            Some(Value::Object(fields)) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        };
    }

    /// Reports something to programs only, as an object, which must have an `event` that names it.
    pub fn object(&mut self, object: &impl Serialize) -> Result<()> {
        if !self.json.get() {
            return Ok(());
        }
        if self.about.is_empty() {
            return written(json::line(object));
        }
        let mut object = serde_json::to_value(object).map_err(|error| Error::Internal(error.to_string()))?;
        if let Value::Object(fields) = &mut object {
            fields.extend(self.about.clone());
        }
        written(json::line(&object))
    }

    /// Prints nothing more on standard output, whose reader went away.
    pub fn hush(&self) {
        self.json.set(false);
    }

    /// Prints a message for people, on standard error.
    pub fn message(&mut self, message: &str) {
        self.progress.print(&wording::worded(message));
    }

    /// Prints the result on standard output: lines for people, or for programs an object, which must have an `event`
    /// that names it.
    pub fn result(&mut self, lines: &[impl AsRef<str>], object: &impl Serialize) -> Result<()> {
        self.progress.clear();
        if self.json.get() { self.object(object) } else { written(terminal::results(lines)) }
    }

    /// Prints a line of the result for people only: programs have had it as an event.
    pub fn line(&mut self, line: &str) -> Result<()> {
        self.progress.clear();
        if self.json.get() { Ok(()) } else { written(terminal::results(&[line])) }
    }

    /// Prints the path of a file that was saved, which programs have had as an event. Where a script reads it, it is the
    /// path to the letter.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        match path.to_str() {
            Some(path) if !self.json.get() && !terminal::shows_results() => self.bytes(format!("{path}\n").as_bytes()),
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
    Output { json: Rc::default(), about: Map::new(), progress: Progress::new(true, false) }
}

fn written(result: std::io::Result<()>) -> Result<()> {
    result.map_err(|source| Error::Write { path: STDOUT.into(), source })
}
