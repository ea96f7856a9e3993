//! The words of a list that are being learned: one, or several whose steps share passes.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::list::Word;
use super::record::Records;
use super::report::{ListReport, Outcome};
use super::share::Share;
use super::{Batch, in_a_line, names_of};
use crate::base::files::make_folder;
use crate::base::text::counted;
use crate::cli::args::Shared;
use crate::cli::load;
use crate::cli::outlook::Outlook;
use crate::cli::output::Output;
use crate::cli::train::drive::{Rest, Run};
use crate::cli::train::request::planned;
use crate::cli::train::watchdog::Watch;
use crate::cli::train::workplace::Workplace;
use crate::cli::train::{Begun, Ended, begin};
use crate::cli::{is_closed_pipe, panics};
use crate::event::{Event, WarningCode};
use crate::model::OpenedModel;
use crate::train::{Pace, TrainJob, step_together};
use crate::{Error, Result};

/// Words that are tried together where the number is left open, the most first.
const TRIED: [usize; 3] = [8, 4, 2];

/// How many words share a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Together {
    /// As many as is found to be fastest.
    Auto,
    Words(usize),
}

impl FromStr for Together {
    type Err = String;

    fn from_str(typed: &str) -> std::result::Result<Self, String> {
        match typed.parse() {
            Ok(words @ 1..=1024) => Ok(Self::Words(words)),
            _ if typed == "auto" => Ok(Self::Auto),
            _ => Err("it must be a number from 1 to 1024, or auto".to_owned()),
        }
    }
}

impl Together {
    /// How many words are learned at once, of those that are not finished. Decided before their model is loaded, so that it is
    /// planned for.
    ///
    /// # Errors
    /// What cannot be read of the model.
    pub(super) async fn pace(
        self,
        words: &[&Word],
        opened: &OpenedModel,
        (workplace, shared): (&Workplace, &Shared),
    ) -> Result<Pace> {
        let (Some(first), device) = (words.first(), workplace.device(shared)?) else { return Ok(Pace::of(1)) };
        let pace = match self {
            Self::Words(given) => Pace::of(given.min(words.len())),
            Self::Auto => {
                let mut most = 1;
                for tried in TRIED.into_iter().filter(|tried| *tried <= words.len()) {
                    let planned = planned(&first.args.config, 1, tried);
                    if load::fits(&Outlook::new(shared, &device, &planned), opened).await? {
                        most = tried;
                        break;
                    }
                }
                Pace::found(most)
            }
        };
        workplace.share_passes(pace.most());
        Ok(pace)
    }
}

/// A word that is being learned.
struct Lane<'a> {
    word: &'a Word,
    /// What it is made from, for its record.
    made_from: Option<String>,
    run: Box<Run<'a>>,
    watch: Option<Watch>,
    begun: Instant,
}

/// What came of beginning a word.
enum Beginning<'a> {
    Begun(Lane<'a>),
    /// There is nothing to do, or it failed.
    Ended,
    /// The memory has no room for it beside the others.
    NoRoom(Error),
}

/// What has become of the words so far, and where that is told.
struct Ledger<'a, 'b> {
    report: ListReport<'a>,
    /// What ends the work on the whole list.
    ended: Result<()>,
    records: &'b mut Records,
    out: &'b mut Output,
}

impl Batch<'_> {
    /// Learns every word that is not finished, and reports.
    pub(super) async fn learn(
        &self,
        words: &[&Word],
        mut pace: Pace,
        records: &mut Records,
        out: &mut Output,
    ) -> Result<()> {
        make_folder(&self.root)?;
        let report = ListReport { list: self.list, share: self.share, job: self.job, words: Vec::new() };
        let mut ledger = Ledger { report, ended: Ok(()), records, out };
        let interrupt = self.workplace.interrupt(self.shared)?;
        let (mut lanes, mut waiting) = (Vec::new(), VecDeque::from_iter(words.iter().copied()));
        loop {
            let mut no_room = None;
            while no_room.is_none() && lanes.len() < pace.most() && ledger.ended.is_ok() && !interrupt.asked() {
                let Some(word) = waiting.pop_front() else { break };
                match self.begin(word, pace.most() > 1, &mut ledger).await {
                    Beginning::Begun(lane) => lanes.push(lane),
                    Beginning::Ended => {}
                    Beginning::NoRoom(error) => {
                        waiting.push_front(word);
                        no_room = Some(error);
                    }
                }
            }
            for mut lane in std::mem::take(&mut lanes) {
                // What could not go on would only fail in its turn.
                let rest = if no_room.is_some() { Ok(Rest::AtStep) } else { lane.run.to_step(&interrupt).await };
                match rest {
                    Ok(Rest::AtStep) => lanes.push(lane),
                    Ok(Rest::Ended(done)) => self.end_word(lane, Ok(done), &mut ledger).await,
                    Err(error @ Error::GpuMemory { .. }) if pace.most() > 1 => {
                        no_room = Some(error);
                        lanes.push(lane);
                    }
                    Err(error) => self.end_word(lane, Err(error), &mut ledger).await,
                }
            }
            if no_room.is_none() {
                no_room = self.step(&mut lanes, &mut pace, &mut ledger).await;
            }
            if let Some(error) = no_room {
                pace.limit(pace.most() / 2);
                self.make_room(&error, std::mem::take(&mut lanes), &mut waiting, &pace, &mut ledger).await;
            } else if lanes.is_empty() && (waiting.is_empty() || ledger.ended.is_err() || interrupt.asked()) {
                break;
            }
        }
        let mut report = ledger.report;
        report.words.extend(waiting.into_iter().map(|word| (word, Outcome::Left)));
        report.words.sort_by_key(|(word, _)| word.index);
        self.end(report, ledger.ended, ledger.out)
    }

    /// Makes the next step of all words that are being learned; gives what there was no room for.
    async fn step<'a>(
        &'a self,
        lanes: &mut Vec<Lane<'a>>,
        pace: &mut Pace,
        ledger: &mut Ledger<'a, '_>,
    ) -> Option<Error> {
        if lanes.is_empty() {
            return None;
        }
        let (begun, count, size) = (Instant::now(), lanes.len(), pace.size(lanes.len()));
        let mut failures: Vec<Option<Error>> = Vec::new();
        for group in lanes.chunks_mut(size) {
            let mut jobs: Vec<&mut TrainJob> = group.iter_mut().map(|lane| &mut lane.run.job).collect();
            match panics::caught_in(step_together(&mut jobs)).await {
                Ok(()) => failures.extend(jobs.iter().map(|_| None)),
                Err(error @ Error::GpuMemory { .. }) if pace.most() > 1 => return Some(error),
                Err(error) => {
                    let others: Vec<Error> = jobs.iter().skip(1).map(|_| error.of_device_again()).collect();
                    failures.extend(std::iter::once(error).chain(others).map(Some));
                }
            }
        }
        if failures.iter().any(Option::is_some) {
            for (mut lane, failure) in std::mem::take(lanes).into_iter().zip(failures) {
                let gone_on = match failure {
                    Some(error) => lane.run.recover(error).await,
                    None => Ok(()),
                };
                match gone_on {
                    Ok(()) => lanes.push(lane),
                    Err(error) => self.end_word(lane, Err(error), ledger).await,
                }
            }
        } else if let Some(found) = pace.note(size, count, begun.elapsed()) {
            let words = counted(found as u64, "word");
            ledger.out.message(&format!("from here on passes are of {words}, which was the fastest per word"));
        }
        None
    }

    /// Puts all words aside that are being learned, so that fewer of them can go on in a memory that has no room for all.
    async fn make_room<'a>(
        &self,
        error: &Error,
        lanes: Vec<Lane<'a>>,
        waiting: &mut VecDeque<&'a Word>,
        pace: &Pace,
        ledger: &mut Ledger<'a, '_>,
    ) {
        let fewer = counted(pace.most() as u64, "word");
        let text = format!("{}: from here on at most {fewer} at the same time", in_a_line(error));
        let said = ledger.out.event(&Event::warning(WarningCode::Memory, text));
        ledger.ended = std::mem::replace(&mut ledger.ended, Ok(())).and(said);
        self.workplace.share_passes(pace.most());
        let restarts = self.workplace.restarts();
        // Saving has nothing to do with what panicked on that device.
        panics::forget();
        for Lane { word, made_from, run, watch, begun } in lanes.into_iter().rev() {
            drop(watch);
            match panics::caught_in(async { run.put_aside() }).await {
                Ok(()) => {
                    self.workplace.put_aside(&word.folder);
                    waiting.push_front(word);
                }
                Err(error) => {
                    let outcome = Outcome::Failed { error, took: begun.elapsed() };
                    self.note(word, made_from.as_deref(), outcome, ledger);
                }
            }
        }
        // What was loaded for them is on a device whose memory is full.
        if matches!(error, Error::GpuMemory { .. })
            && let Err(gone) = self.workplace.restart(restarts)
        {
            ledger.ended = Err(gone);
        }
    }

    /// Begins to learn a word, if it is not finished.
    async fn begin<'a>(&'a self, word: &'a Word, beside_others: bool, ledger: &mut Ledger<'a, '_>) -> Beginning<'a> {
        let made_from = ledger.records.made_from(word, self.shared);
        if ledger.records.is_finished(word, made_from.as_deref()) {
            ledger.ended = names_of(word).iter().try_for_each(|path| ledger.out.path(path));
            // Its record stands as it is.
            self.note(word, None, Outcome::Finished, ledger);
            return Beginning::Ended;
        }
        let (name, folder) = (word.name(), word.folder.display());
        ledger.out.message(&format!("word {} of the list: {name} in {folder}", word.index));
        let (begun, restarts) = (Instant::now(), self.workplace.restarts());
        let mut out = if beside_others { ledger.out.named(&name) } else { ledger.out.clone() };
        self.about(Some(word), &mut out);
        let learned = match panics::caught_in(begin(&word.args, self.shared, &self.workplace, out)).await {
            Ok(Begun::Run(run)) => return Beginning::Begun(Lane { word, made_from, watch: run.watch(), run, begun }),
            Ok(Begun::Ended(ended)) => Ok(ended),
            Err(error @ (Error::TooLittleMemory { .. } | Error::GpuMemory { .. })) if beside_others => {
                return Beginning::NoRoom(error);
            }
            Err(error) => Err(error),
        };
        let outcome = self.outcome(learned, begun.elapsed(), restarts, &mut ledger.ended);
        self.note(word, made_from.as_deref(), outcome, ledger);
        Beginning::Ended
    }

    /// Ends a word, with what there is to say of it.
    async fn end_word<'a>(&self, lane: Lane<'a>, ended: Result<Option<Event>>, ledger: &mut Ledger<'a, '_>) {
        let Lane { word, made_from, run, watch, begun } = lane;
        drop(watch);
        let restarts = run.request.restarts;
        let learned = panics::caught_in(async { run.end(ended) }).await.map(|()| Ended::Done);
        let outcome = self.outcome(learned, begun.elapsed(), restarts, &mut ledger.ended);
        self.note(word, made_from.as_deref(), outcome, ledger);
    }

    /// What came of a word; what ends the work on the whole list goes to `ended`. `restarts` is how many times the device had been
    /// started again when the word began to use it.
    fn outcome(&self, learned: Result<Ended>, took: Duration, restarts: u32, ended: &mut Result<()>) -> Outcome {
        match learned {
            Ok(Ended::Finished) => Outcome::Finished,
            Ok(Ended::Done | Ended::Tried) => Outcome::Done { took },
            Err(stopped) if matches!(stopped, Error::Interrupted { .. }) || is_closed_pipe(&stopped) => {
                *ended = Err(stopped);
                Outcome::Stopped { took }
            }
            Err(error) => {
                if matches!(error, Error::GpuLost { .. } | Error::Gpu { .. } | Error::GpuMemory { .. })
                    && let Err(gone) = self.workplace.restart(restarts)
                {
                    *ended = Err(gone);
                }
                Outcome::Failed { error, took }
            }
        }
    }

    /// Notes what came of a word, and says it.
    fn note<'a>(&self, word: &'a Word, made_from: Option<&str>, outcome: Outcome, ledger: &mut Ledger<'a, '_>) {
        if matches!(outcome, Outcome::Done { .. } | Outcome::Finished) {
            ledger.records.keep(word, made_from);
        }
        let said = ledger.out.object(&outcome.object(word));
        ledger.ended = std::mem::replace(&mut ledger.ended, Ok(())).and(said);
        // Of one word alone it is the error that the program ends with.
        if let (Outcome::Failed { error, .. }, Share::All | Share::Part(_)) = (&outcome, self.share) {
            ledger.out.message(&format!("word {} of the list failed: {}", word.index, in_a_line(error)));
        }
        ledger.report.words.push((word, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_auto() {
        assert_eq!("4".parse(), Ok(Together::Words(4)));
        assert_eq!("auto".parse(), Ok(Together::Auto));
        for typed in ["0", "-1", "1025", "4.5", "many", ""] {
            assert!(typed.parse::<Together>().is_err(), "{typed}");
        }
    }
}
