//! `pseudoword train --batch`: many words on a model that is loaded once.
//!
//! The way of a list: it is read and checked as a whole ([`list`]); this process takes its share of it ([`share`]); what
//! is finished is known by its record ([`record`]); every other word is learned as `train` learns one, in a folder of its
//! own, alone or beside others ([`lanes`]); in the end there is a report ([`report`]). A word that fails does not stop those after it.

mod lanes;
mod list;
mod record;
mod report;
mod share;

use std::path::PathBuf;

use serde_json::json;

pub(in crate::cli) use self::lanes::Together;
pub(in crate::cli) use self::list::{List, TypedList};
use self::list::{Problems, Word};
use self::record::Records;
use self::report::{ListReport, Outcome};
pub(in crate::cli) use self::share::Shard;
use self::share::{Engine, Share};
use super::names;
use super::request::{RUNS, planned};
use super::workplace::Workplace;
use crate::base::files::check_writable;
use crate::base::text::counted;
use crate::cli::args::{Shared, TrainArgs};
use crate::cli::faults::interrupt;
use crate::cli::output::Output;
use crate::cli::{is_closed_pipe, locate, wording};
use crate::config::Init;
use crate::image::find::find_pictures;
use crate::model::OpenedModel;
use crate::train::{Pace, TrainInput, usual};
use crate::{Error, Result};

/// Learns the words of a list, or says with `--dry-run` what there is to do.
///
/// # Errors
/// [`Error::BadList`] before anything is learned; [`Error::SomeFailed`] at the end; [`Error::Interrupted`].
pub(super) async fn run(args: &TrainArgs, typed: &TypedList, shared: &Shared, out: &mut Output) -> Result<()> {
    let list = &typed.list;
    let engine = Engine::of(|name| std::env::var_os(name), args.index.is_some() || args.shard.is_some())?;
    let (all, mut problems) = list.words(&typed.typed, args.out.as_deref());
    let (share, said) = Share::of(args.index, args.shard, &engine, list.len())?;
    let words: Vec<&Word> = all.iter().filter(|word| share.has(word.index)).collect();
    let root = args.out.clone().unwrap_or_else(|| RUNS.into());
    check_writable(&root)?;
    let batch = Batch { list, share, said, job: engine.job.as_deref(), root, shared, workplace: Workplace::default() };
    // What is wrong with files is found out before a model is fetched.
    find_trouble(&words, &mut problems);
    problems.refuse(&list.file)?;
    batch.said.iter().for_each(|sentence| out.message(sentence));
    batch.about(None, out);
    out.object(&json!({
        "event": "list", "file": list.file.display().to_string(), "words": words.len(), "of": list.len(),
        "share": share.label(), "notes": batch.said,
    }))?;
    let Some(first) = words.first() else { return batch.nothing(out) };
    let opened = batch.workplace.model(shared, &planned(&first.args.config, 1, 1), out).await?;
    let mut problems = Problems::default();
    find_misfits(&words, &opened, &mut problems);
    problems.refuse(&list.file)?;
    let mut records = Records::default();
    records.look_at(shared, &opened).await?;
    if args.dry_run {
        return batch.tell(&words, &mut records, out);
    }
    let mut pace = Pace::of(1);
    if let Some(together) = args.together {
        let mut is_left = |word: &&Word| {
            let made_from = records.made_from(word, shared);
            !records.is_finished(word, made_from.as_deref())
        };
        let left: Vec<&Word> = words.iter().copied().filter(|word| is_left(word)).collect();
        if left.len() == 1 {
            out.message("--together has no effect: there is one word to learn");
        }
        pace = together.pace(&left, &opened, (&batch.workplace, shared)).await?;
        if together == Together::Auto && pace.most() == 1 && left.len() > 1 {
            out.message("the memory has room for one word at a time");
        }
    }
    batch.learn(&words, pace, &mut records, out).await
}

/// A share of a list that is being worked on.
struct Batch<'a> {
    list: &'a List,
    share: Share,
    /// What is to be known about that.
    said: Vec<String>,
    /// What the engine that started this calls it.
    job: Option<&'a str>,
    /// The folder for all runs.
    root: PathBuf,
    shared: &'a Shared,
    workplace: Workplace,
}

impl Batch<'_> {
    /// Says in every event what it is about.
    fn about(&self, word: Option<&Word>, out: &mut Output) {
        let (index, token) = (word.map(|word| word.index), word.map(|word| word.args.config.token.as_str()));
        out.about(Some(json!({"index": index, "token": token, "job": self.job})));
    }

    /// Reports what became of all words.
    fn end(&self, mut report: ListReport<'_>, ended: Result<()>, out: &mut Output) -> Result<()> {
        if ended.as_ref().is_err_and(is_closed_pipe) {
            out.hush();
        }
        report.table().iter().for_each(|line| out.message(line));
        // Whoever is learning this word has a report of its own to write.
        let is_held =
            |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Failed { error: Error::Held { .. }, .. });
        if !report.words.iter().all(is_held) {
            let path = report.save(&self.root)?.display().to_string();
            out.message(&format!("{} ({path})", report.sentence()));
            out.object(&json!({"event": "report", "path": path, "of": report.words.len(), "failed": report.failed()}))?;
        }
        // Nobody reads any more, which alone is no failure; but a list that is not done must not look as if it were.
        if ended.as_ref().is_err_and(is_closed_pipe) && report.is_left() {
            return Err(Error::Interrupted { signal: interrupt::SIGPIPE });
        }
        ended?;
        if self.workplace.is_to_stop() {
            return Err(interrupt::reason());
        }
        match (self.share, report.failed()) {
            (_, 0) => Ok(()),
            // Who asked for one word wants to know what it came to.
            (Share::One(_), _) => match report.words.pop() {
                Some((_, Outcome::Failed { error, .. })) => Err(error),
                _ => Ok(()),
            },
            (_, failed) => Err(Error::SomeFailed { failed, of: report.words.len() }),
        }
    }

    /// Says what there is to do, and does nothing.
    fn tell(&self, words: &[&Word], records: &mut Records, out: &mut Output) -> Result<()> {
        let mut finished = 0;
        for word in words {
            let made_from = records.made_from(word, self.shared);
            let is_finished = records.is_finished(word, made_from.as_deref());
            finished += usize::from(is_finished);
            let (state, said) = match (is_finished, word.folder.exists()) {
                (true, _) => ("finished", "is finished"),
                (false, true) => ("looked-at", "would be looked at, and learned as far as it is not"),
                (false, false) => ("begin", "would be learned"),
            };
            let folder = word.folder.display().to_string();
            out.line(&format!("{:>5}  {}  in {folder}: {said}", word.index, word.name()))?;
            out.object(&json!({
                "event": "dry-run", "action": state, "index": word.index, "token": word.args.config.token, "folder": folder,
            }))?;
        }
        let all = counted(words.len() as u64, "word");
        out.message(&format!("{all}, of which {finished} are finished (this is a dry run: nothing is written)"));
        Ok(())
    }

    /// There is no word in this share.
    fn nothing(&self, out: &mut Output) -> Result<()> {
        let all = counted(self.list.len() as u64, "word");
        out.message(&format!("the list has {all}, and none of them is in this share: there is nothing to do"));
        Ok(())
    }
}

/// What an error says, in one line.
fn in_a_line(error: &Error) -> String {
    let lines = wording::lines_of(error);
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The files of a word's embeddings.
fn names_of(word: &Word) -> Vec<PathBuf> {
    names::embeddings(&word.args.config.tokens()).iter().map(|file| word.folder.join(file)).collect()
}

/// Finds what is wrong with the pictures of words, as far as that is seen without reading them.
fn find_trouble(words: &[&Word], problems: &mut Problems) {
    for word in words {
        let args = &word.args;
        let sets = [&args.pictures, &args.unseen].into_iter().filter(|set| !set.is_empty());
        let files = args.template.iter().chain(&args.replay).chain(&args.mask_folder);
        for error in sets.filter_map(|set| find_pictures(set).err()) {
            problems.add(word.index, &word.name(), wording::of_error(&error));
        }
        let inits = [&args.config.init, &args.config.second_init].into_iter().flatten();
        let inits = inits.filter(|init| locate::names_an_embedding_file(init)).map(PathBuf::from);
        for path in files.cloned().chain(inits).filter(|path| !path.exists()) {
            problems.add(word.index, &word.name(), format!("there is no {}", path.display()));
        }
    }
}

/// Finds what is wrong with words for a model: needs no weights.
fn find_misfits(words: &[&Word], opened: &OpenedModel, problems: &mut Problems) {
    let mut tokenizers = opened.tokenizers.clone();
    for word in words {
        let config = usual::decided(&word.args.config, &opened.config);
        // What is in files is looked at when its turn comes.
        let phrase = |init: &Option<String>| match init {
            Some(file) if locate::names_an_embedding_file(file) => Some(Init::Random),
            _ => None,
        };
        let input = TrainInput {
            init: phrase(&config.init),
            second_init: phrase(&config.second_init),
            ..TrainInput::default()
        };
        let mut checked = crate::train::check(&config, &input, &opened.config, tokenizers.first());
        for new in config.words() {
            if checked.is_ok() {
                checked = tokenizers.add_word(new.token, new.vectors as usize).map(drop);
            }
        }
        config.tokens().into_iter().for_each(|token| drop(tokenizers.remove_word(token)));
        if let Err(error) = checked {
            problems.add(word.index, &word.name(), wording::of_error(&error));
        }
    }
}
