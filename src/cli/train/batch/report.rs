//! What became of the words of a list: a table for people, and a file for programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::in_a_line;
use super::list::{List, Word};
use super::share::Share;
use crate::base::files::{self, make_folder, write_whole};
use crate::base::text::{beginning, counted, json_seen};
use crate::cli::output::span;
use crate::cli::train::names;
use crate::cli::{exit, wording};
use crate::{Error, Result};

/// Words that have a line each in the table; of more only those that failed.
const MOST_LINES: usize = 60;
/// Letters of a name in the table.
const WIDEST: usize = 24;
/// Letters of the reason of a failure there.
const LONGEST: usize = 200;

/// What became of a word.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was learned, or learned to its end.
    Done { took: Duration },
    /// There was nothing left to do.
    Finished,
    /// It was not learned.
    Failed { error: Error, took: Duration },
    /// It was being learned when the work was stopped.
    Stopped { took: Duration },
    /// Its turn did not come.
    Left,
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Finished => "finished before",
            Self::Failed { .. } => "failed",
            Self::Stopped { .. } => "stopped",
            Self::Left => "not begun",
        }
    }

    fn took(&self) -> Option<Duration> {
        match self {
            Self::Done { took } | Self::Failed { took, .. } | Self::Stopped { took } => Some(*took),
            Self::Finished | Self::Left => None,
        }
    }

    /// The same as an object: of a failure with the status that the program has for it when it learns this word alone.
    pub fn object(&self, word: &Word) -> Value {
        let mut object = json!({
            "event": "word", "index": word.index, "token": word.args.config.token, "state": self.name(),
            "folder": word.folder.display().to_string(), "seconds": self.took().map(|took| took.as_secs_f64()),
        });
        if let Some(second) = &word.args.config.second_token {
            object["second"] = json!(second);
        }
        if let Self::Failed { error, .. } = self {
            object["code"] = json!(exit::status(error));
            object["next"] = json!(exit::next(error).key());
            object["reason"] = json!(wording::of_error(error));
        }
        object
    }
}

/// What became of a list, or of a share of it.
pub(super) struct ListReport<'a> {
    pub list: &'a List,
    pub share: Share,
    /// What the engine that started this calls it.
    pub job: Option<&'a str>,
    pub words: Vec<(&'a Word, Outcome)>,
}

impl ListReport<'_> {
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. }))
    }

    /// Whether there are words that were not learned to their end and did not fail.
    pub fn is_left(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Left | Outcome::Stopped { .. })) > 0
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.words.iter().filter(|(_, outcome)| is(outcome)).count()
    }

    /// How many words came to what, in a sentence.
    pub fn sentence(&self) -> String {
        let kinds = ["done", "finished before", "failed", "stopped", "not begun"];
        let counts = kinds
            .map(|kind| (self.count(|outcome| outcome.name() == kind), kind))
            .into_iter()
            .filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, kind)| format!("{count} {kind}")).collect();
        format!("{}: {}", counted(self.words.len() as u64, "word"), counts.join(", "))
    }

    /// The words, a line each, as far as there are not too many; then only those that failed.
    pub fn table(&self) -> Vec<String> {
        let all = self.words.len() <= MOST_LINES;
        let shown = self.words.iter().filter(|(_, outcome)| all || matches!(outcome, Outcome::Failed { .. }));
        let name = |word: &Word| beginning(&word.name(), WIDEST);
        let wide = self.words.iter().map(|(word, _)| name(word).chars().count()).max().unwrap_or_default();
        let line = |(word, outcome): &(&Word, Outcome)| {
            let took = outcome.took().map_or_else(String::new, |took| span(took.as_secs_f64()));
            let rest = match outcome {
                Outcome::Failed { error, .. } => beginning(&in_a_line(error), LONGEST),
                Outcome::Left => String::new(),
                _ => came_of_it(&word.folder),
            };
            let line = format!("{:>5}  {:wide$}  {:15}  {took:>12}  {rest}", word.index, name(word), outcome.name());
            line.trim_end().to_owned()
        };
        shown.map(line).collect()
    }

    /// Writes the file; gives where it is.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let name = match self.share.label() {
            None => names::REPORT.to_owned(),
            Some(share) => format!("report.{share}.json"),
        };
        let word = |(word, outcome): &(&Word, Outcome)| {
            let mut object = outcome.object(word);
            if let Some(fields) = object.as_object_mut() {
                fields.remove("event");
            }
            let report = report_of(&word.folder).filter(|_| !matches!(outcome, Outcome::Left | Outcome::Failed { .. }));
            if let Some(report) = report {
                object["steps"] = report["steps"].clone();
                object["losses"] = report["losses"].clone();
                object["verdict"] = report["verdict"].clone();
                object["quality"] = report["quality"].clone();
            }
            object
        };
        let counts = |is: fn(&Outcome) -> bool| self.count(is);
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"), "list": self.list.file.display().to_string(), "share": self.share.label(),
            "job": self.job, "of": self.words.len(), "listed": self.list.len(),
            "done": counts(|outcome| matches!(outcome, Outcome::Done { .. })),
            "finished_before": counts(|outcome| matches!(outcome, Outcome::Finished)),
            "failed": self.failed(),
            "left": counts(|outcome| matches!(outcome, Outcome::Left | Outcome::Stopped { .. })),
            "words": self.words.iter().map(word).collect::<Vec<_>>(),
        });
        make_folder(folder)?;
        let path = folder.join(name);
        write_whole(&path, serde_json::to_string_pretty(&report).map(json_seen).unwrap_or_default().as_bytes())?;
        Ok(path)
    }
}

/// The report of a word's run.
fn report_of(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&files::read(&folder.join(names::REPORT)).ok()?).ok()
}

/// What a word's run says of it, in a few words.
fn came_of_it(folder: &Path) -> String {
    let Some(report) = report_of(folder) else { return String::new() };
    let losses = report["losses"]["training"].as_array();
    let loss = |at: Option<&Value>| at.and_then(|at| at[1].as_f64());
    // Of a run that was stopped only the first may be known.
    let ends = losses.filter(|losses| losses.len() > 1);
    let ends = ends.and_then(|losses| Some((loss(losses.first())?, loss(losses.last())?)));
    let fell = ends
        .filter(|(first, _)| *first > 0.0)
        .map(|(first, last)| format!("loss {:+.0} %", 100.0 * (last / first - 1.0)));
    // What a short run has begun is in its advice.
    let level = |of: &Value| of["level"].as_str().filter(|level| *level != "begun").map(str::to_owned);
    let said = level(&report["quality"]).or_else(|| level(&report["verdict"]));
    fell.into_iter().chain(said).collect::<Vec<_>>().join(", ")
}
