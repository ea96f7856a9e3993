//! How much work one submission to a GPU may hold.
//!
//! Systems take a GPU away from a program whose submission runs too long: Windows resets the device after two seconds,
//! a browser loses it, and until then no window on the screen moves. So each launch states how much work it is; when a
//! submission would hold more than the device does in [`TARGET`], what was dispatched is submitted first, and a launch
//! that is too much alone is cut into several dispatches.
//!
//! How fast a device is shows while it works: after a value has been read, everything that was dispatched before is
//! done, so the work since the last reading, over the time since then, is a speed that the device has (or more: time in
//! which it had nothing to do counts against it). The fastest that was seen is taken; until then, that of a slow
//! integrated GPU. So nothing waits for a measurement, which a browser could not do anyway. Everything here is a
//! thread's own, as the queue in the runtime is.

use std::cell::RefCell;
use std::time::Duration;

use web_time::Instant;

/// How long a submission may take: an eighth of what Windows allows, because the work is an estimate.
const TARGET: Duration = Duration::from_millis(250);
/// Work per second of a slow integrated GPU.
const SLOW: f64 = 1e11;
/// No measurement makes a device slower than this: something else was waited for.
const SLOWEST: f64 = SLOW / 10.0;
/// Less work than this measures the waiting rather than the device.
const TELLING: u64 = (SLOW * 0.25) as u64;
/// What a byte that is read or written counts: slow memory moves one in the time of this many operations of a slow GPU.
const BYTE: u64 = 8;

/// The work of a launch, in floating-point operations: those that it does, or its bytes' worth if that is more.
pub(crate) fn work(operations: u64, bytes: u64) -> u64 {
    operations.max(BYTE.saturating_mul(bytes)).max(1)
}

/// A launch of some work that can be cut into `parts` equal parts, as dispatches of at most `budget` where parts allow
/// it: how many parts each has. They are as even as can be.
pub(crate) fn shares(work: u64, parts: usize, budget: u64) -> Vec<usize> {
    let parts = parts.max(1);
    let most = (u128::from(budget) * parts as u128 / u128::from(work.max(1))).clamp(1, parts as u128) as usize;
    let count = parts.div_ceil(most);
    (0..count).map(|i| parts * (i + 1) / count - parts * i / count).collect()
}

/// What has been dispatched, and what the device has shown.
#[derive(Debug, Default)]
struct Meter {
    /// Work since the last submission.
    held: u64,
    /// Work since the last reading, and since when.
    done: u64,
    since: Option<Instant>,
    /// The highest speed seen.
    speed: Option<f64>,
    /// A budget that tests ask for, in place of the device's.
    fixed: Option<u64>,
    /// What was dispatched since then.
    dispatches: Vec<Dispatch>,
}

/// What was given to the device at once: a launch, or a share of one; for tests of how work is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static str,
    /// Its workgroups.
    pub groups: [usize; 3],
    /// Its work, in floating-point operations.
    pub work: u64,
    /// Whether a submission begins with it.
    pub begins: bool,
}

impl Meter {
    fn budget(&self) -> u64 {
        let speed = self.speed.map_or(SLOW, |speed| speed.max(SLOWEST));
        self.fixed.unwrap_or((speed * TARGET.as_secs_f64()) as u64)
    }

    /// Counts a dispatch; whether what was dispatched before must be submitted first.
    fn count(&mut self, work: u64) -> bool {
        let full = self.held > 0 && self.held.saturating_add(work) > self.budget();
        self.held = if full { work } else { self.held.saturating_add(work) };
        self.done = self.done.saturating_add(work);
        full
    }

    /// All that was dispatched is done, in the time since the last reading.
    fn finished(&mut self, taken: Duration) {
        if self.done >= TELLING && !taken.is_zero() {
            let speed = self.done as f64 / taken.as_secs_f64();
            self.speed = Some(self.speed.map_or(speed, |known| known.max(speed)));
        }
        (self.held, self.done) = (0, 0);
    }
}

thread_local! {
    static METER: RefCell<Meter> = RefCell::default();
}

/// The most work that a submission should hold now; none where no time limit applies.
///
/// `watched` is false for a software GPU: it is never taken away.
pub(crate) fn budget(watched: bool) -> Option<u64> {
    METER.with_borrow(|meter| (watched || meter.fixed.is_some()).then(|| meter.budget()))
}

/// Counts a dispatch that is about to be made; true if what was dispatched before must be submitted first.
pub(crate) fn count(kernel: &'static str, groups: [usize; 3], work: u64) -> bool {
    METER.with_borrow_mut(|meter| {
        meter.since.get_or_insert_with(Instant::now);
        let empty = meter.held == 0;
        let full = meter.count(work);
        if meter.fixed.is_some() {
            meter.dispatches.push(Dispatch { kernel, groups, work, begins: empty || full });
        }
        full
    })
}

/// A value was read: everything that was dispatched before it is done.
pub(crate) fn values_were_read() {
    METER.with_borrow_mut(|meter| {
        // Before the first dispatch there is nothing to count.
        if let Some(since) = meter.since {
            meter.finished(since.elapsed());
            meter.since = Some(Instant::now());
        }
    });
}

/// While this exists, what is dispatched and read says nothing of the devices that were used before, and afterwards nothing
/// of it is left.
pub(crate) struct Apart(Meter);

impl Apart {
    pub(crate) fn begin() -> Self {
        Self(METER.take())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        METER.set(std::mem::take(&mut self.0));
    }
}

/// Runs `work` with submissions of at most `budget` floating-point operations, on any GPU; gives what was dispatched,
/// too.
pub fn with_budget<R>(budget: u64, work: impl FnOnce() -> R) -> (R, Vec<Dispatch>) {
    // Its end brings the outer meter back, in a panic, too.
    let _apart = Apart::begin();
    METER.set(Meter { fixed: Some(budget), ..Meter::default() });
    let result = work();
    (result, METER.take().dispatches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_is_cut_into_as_few_even_dispatches_as_the_budget_allows() {
        assert_eq!(shares(100, 10, 100), [10]);
        assert_eq!(shares(100, 10, 99), [5, 5]);
        assert_eq!(shares(100, 10, 45), [3, 3, 4]);
        assert_eq!(shares(100, 10, 10), [1; 10]);
        // A part is the least that there is.
        assert_eq!(shares(100, 3, 1), [1; 3]);
        assert_eq!(shares(u64::MAX, 4, u64::MAX / 2 + 1), [2, 2]);
        assert_eq!(shares(5, 1, 2), [1]);
        for (work, parts, budget) in (1..40).flat_map(|work| (1..20).map(move |parts| (work, parts, 1 + work / 3))) {
            let cut = shares(work, parts, budget);
            assert_eq!(cut.iter().sum::<usize>(), parts);
            let most = *cut.iter().max().unwrap();
            assert!(most == 1 || work * most as u64 <= budget * parts as u64, "{work} {parts} {budget}: {cut:?}");
        }
    }

    #[test]
    fn no_submission_holds_more_than_the_budget() {
        let mut meter = Meter { fixed: Some(10), ..Meter::default() };
        let begins: Vec<bool> = [4, 6, 1, 9, 30, 1].iter().map(|work| meter.count(*work)).collect();
        // 4 + 6 | 1 + 9 | 30, which cannot be cut | 1
        assert_eq!(begins, [false, false, true, false, true, true]);
        meter.finished(Duration::from_secs(1));
        assert!(!meter.count(10), "after a reading nothing is held");
    }

    #[test]
    fn the_budget_follows_the_fastest_that_the_device_has_been() {
        let quarter = |speed: f64| (speed / 4.0) as u64;
        let mut meter = Meter::default();
        assert_eq!(meter.budget(), quarter(SLOW), "nothing is known yet");
        // Hardly any work, and much waiting, for example for kernels to be compiled: says nothing.
        meter.count(TELLING / 10);
        meter.finished(Duration::from_secs(9));
        assert_eq!(meter.budget(), quarter(SLOW));
        // A slow device gets less, a fast one more; a pause afterwards changes nothing.
        for (work, seconds, speed) in [(40, 1, 4e10), (4000, 2, 2e12), (4000, 500, 2e12), (9000, 3, 3e12)] {
            meter.count(work * 1_000_000_000);
            meter.finished(Duration::from_secs(seconds));
            assert_eq!(meter.budget(), quarter(speed), "{work} in {seconds} s");
        }
        let mut stuck = Meter::default();
        stuck.count(TELLING);
        stuck.finished(Duration::from_secs(3600));
        assert_eq!(stuck.budget(), quarter(SLOWEST));
    }

    #[test]
    fn bytes_count_where_they_are_what_takes_long() {
        assert_eq!(work(100, 1), 100);
        assert_eq!(work(0, 1000), 8000);
        assert_eq!(work(0, 0), 1);
    }

    #[test]
    fn a_budget_for_a_test_ends_with_it() {
        assert_eq!(budget(false), None);
        let ((), dispatches) = with_budget(5, || {
            assert_eq!(budget(false), Some(5));
            assert!(!count("a", [1; 3], 4) && count("b", [2; 3], 4));
        });
        let dispatch = |kernel, groups, begins| Dispatch { kernel, groups, work: 4, begins };
        assert_eq!(dispatches, [dispatch("a", [1; 3], true), dispatch("b", [2; 3], true)]);
        assert_eq!(budget(false), None);
    }
}
