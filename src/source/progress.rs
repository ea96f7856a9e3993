//! What a download reports while it runs: how far it is, how fast, how much time is left.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use web_time::Instant;

use crate::event::{Event, WarningCode};

/// Something that happens while a file is fetched.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Bytes came; about ten times a second, and once when a file is complete.
    Progress(Progress),
    /// Something did not work and is tried again.
    Again {
        /// The file or repository.
        what: String,
        /// What happened.
        reason: String,
        /// When, in seconds from now.
        wait: Duration,
    },
    /// Another process is fetching the same file; reported once.
    Waiting {
        /// The file.
        what: String,
    },
    /// Time passes, in a pause or while waiting: an occasion to stop.
    Tick,
    /// Something that the user should know.
    Warning {
        /// A stable name for programs.
        code: WarningCode,
        /// The sentence for people.
        text: String,
    },
}

/// How far a download is. Bytes that were here already count as done, but not for the speed.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The file, as people know it: `owner/name/unet/config.json`.
    pub file: String,
    /// Which of the files of this batch, from 1.
    pub number: usize,
    /// How many there are in the batch.
    pub files: usize,
    /// Bytes of this file that are here.
    pub done: u64,
    /// Its length in bytes, if that is known.
    pub total: Option<u64>,
    /// Bytes of the whole batch that are here.
    pub batch_done: u64,
    /// Bytes of the whole batch, if that is known.
    pub batch_total: Option<u64>,
    /// Bytes a second, over the last seconds.
    pub rate: f64,
    /// Until the batch is complete; none while that cannot be said.
    pub left: Option<Duration>,
}

impl Notice {
    /// The same for front ends; none for what is only an occasion to stop.
    pub fn event(self) -> Option<Event> {
        Some(match self {
            Notice::Progress(progress) => Event::Fetch {
                file: progress.file,
                number: progress.number,
                files: progress.files,
                done: progress.batch_done,
                total: progress.batch_total,
                rate: progress.rate,
                left: progress.left.map(|left| left.as_secs_f64()),
            },
            Notice::Again { what, reason, wait } => Event::warning(
                WarningCode::Retry,
                format!("{what}: {reason}; trying again in {:.0} s", wait.as_secs_f64()),
            ),
            Notice::Waiting { what } => {
                Event::warning(WarningCode::Waiting, format!("another process is fetching {what}: waiting for it"))
            }
            Notice::Warning { code, text } => Event::warning(code, text),
            Notice::Tick => return None,
        })
    }
}

/// Who gets the notices. The answer to each says whether to continue; a download that is stopped keeps what it has.
pub type Report<'a> = dyn FnMut(Notice) -> ControlFlow<()> + 'a;

/// Over which time the speed is measured: long enough not to jump, short enough to notice a change.
const WINDOW: Duration = Duration::from_secs(8);
/// The least time between two reports.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts the bytes of a batch of files.
#[derive(Debug)]
pub struct Meter {
    file: String,
    number: usize,
    files: usize,
    total: Option<u64>,
    /// Bytes of the files before this one.
    before: u64,
    batch_total: Option<u64>,
    /// Moments, and the bytes that had come over the network until then.
    points: VecDeque<(Instant, u64)>,
    received: u64,
    reported: Option<Instant>,
}

impl Meter {
    /// For a batch of this many files and bytes.
    pub fn new(files: usize, batch_total: Option<u64>) -> Self {
        Self {
            file: String::new(),
            number: 0,
            files,
            total: None,
            before: 0,
            batch_total,
            points: VecDeque::new(),
            received: 0,
            reported: None,
        }
    }

    /// The next file of the batch begins.
    pub fn begin(&mut self, file: &str, total: Option<u64>) {
        file.clone_into(&mut self.file);
        self.number += 1;
        self.total = total;
        self.reported = None;
    }

    /// The server says how long the file is.
    pub fn learn(&mut self, total: Option<u64>) {
        self.total = self.total.or(total);
    }

    /// The file is complete.
    pub fn end(&mut self, length: u64, now: Instant) -> Notice {
        let notice = Notice::Progress(self.progress(length, now));
        self.before += length;
        notice
    }

    /// `new` bytes came, `done` of the file are here. A report, unless the last one was a moment ago.
    pub fn advance(&mut self, new: u64, done: u64, now: Instant) -> Option<Notice> {
        self.received += new;
        self.points.push_back((now, self.received));
        while self.points.len() > 2 && now.duration_since(self.points[0].0) > WINDOW {
            self.points.pop_front();
        }
        if self.reported.is_some_and(|reported| now.duration_since(reported) < PAUSE) {
            return None;
        }
        self.reported = Some(now);
        Some(Notice::Progress(self.progress(done, now)))
    }

    fn progress(&self, done: u64, now: Instant) -> Progress {
        let rate = self.rate(now);
        let batch_done = self.before + done;
        let batch_total = self.batch_total.or(self.total.filter(|_| self.files == 1));
        let rest = batch_total.map(|total| total.saturating_sub(batch_done));
        let seconds = rest.filter(|_| rate > 1.0).map(|rest| rest as f64 / rate);
        Progress {
            file: self.file.clone(),
            number: self.number,
            files: self.files,
            done,
            total: self.total,
            batch_done,
            batch_total,
            rate,
            left: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }

    fn rate(&self, now: Instant) -> f64 {
        let Some((since, bytes)) = self.points.front() else { return 0.0 };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds > 0.05 { (self.received - bytes) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_left_follow_the_last_seconds() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut meter = Meter::new(2, Some(3000));
        meter.begin("a", Some(1000));
        // 400 bytes were here already.
        assert!(meter.advance(0, 400, at(0)).is_some());
        assert!(meter.advance(50, 450, at(50)).is_none(), "too soon");
        let Some(Notice::Progress(progress)) = meter.advance(50, 500, at(1000)) else { panic!() };
        assert_eq!((progress.rate, progress.batch_done, progress.left), (100.0, 500, Some(Duration::from_secs(25))));
        meter.end(1000, at(2000));
        meter.begin("b", Some(2000));
        let Some(Notice::Progress(progress)) = meter.advance(100, 100, at(3000)) else { panic!() };
        assert_eq!((progress.number, progress.done, progress.batch_done), (2, 100, 1100));
        // A stall makes the speed fall.
        let Some(Notice::Progress(progress)) = meter.advance(0, 100, at(20_000)) else { panic!() };
        assert!(progress.rate < 10.0, "{}", progress.rate);
    }
}
