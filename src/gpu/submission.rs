//! How much work one submission to a GPU may hold.
//!
//! Systems take a GPU away from a program whose submission runs too long: Windows resets the device after two seconds, a
//! browser loses it, and meanwhile no window on the screen moves. So whoever orders work says how much it is; when a
//! submission would hold more than the device does in [`TARGET`], what was ordered is handed over first, and an order that
//! is too much alone is cut.
//!
//! How fast a device is shows while it works: after a value has been read, everything that was ordered before is done, so
//! the work since the last reading, over the time since then, is a speed that the device has (or more: time in which it had
//! nothing to do counts against it). The fastest that was seen is taken; until then, that of a slow integrated GPU. So
//! nothing waits for a measurement, which a browser could not do anyway. Everything here is a thread's own, as the queue in
//! the runtime is.

use std::cell::RefCell;
use std::time::Duration;

use web_time::Instant;

/// How long a submission may take: an eighth of what Windows allows, because the work is an estimate.
const TARGET: Duration = Duration::from_millis(250);
/// Work per second of a slow integrated GPU.
const SLOW: f64 = 1e11;
/// No measurement makes a device slower than this: something else was waited for.
const SLOWEST: f64 = SLOW / 10.0;
/// Less work than this tells more about waiting than about the device.
const TELLING: u64 = (SLOW * 0.25) as u64;
/// What a byte that is read or written counts: slow memory moves one in the time of so many operations of a slow GPU.
const BYTE: u64 = 8;

/// The work of an order, in floating-point operations: those that it does, or its bytes' worth if that is more.
pub(crate) fn work(operations: u64, bytes: u64) -> u64 {
    operations.max(BYTE.saturating_mul(bytes)).max(1)
}

/// An order of some work that can be cut into `parts` equal parts, as pieces of at most `budget` where parts allow it: how
/// many parts each piece has. The pieces are as even as can be.
pub(crate) fn pieces(work: u64, parts: usize, budget: u64) -> Vec<usize> {
    let parts = parts.max(1);
    let most = (u128::from(budget) * parts as u128 / u128::from(work.max(1))).clamp(1, parts as u128) as usize;
    let count = parts.div_ceil(most);
    (0..count).map(|i| parts * (i + 1) / count - parts * i / count).collect()
}

/// What has been ordered, and what the device has shown.
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
    /// What was ordered since then.
    orders: Vec<Order>,
}

/// An order that was given to the device, or a piece of one, for tests of how work is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
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

    /// Counts an order; whether what was ordered before must be submitted first.
    fn order(&mut self, work: u64) -> bool {
        let full = self.held > 0 && self.held.saturating_add(work) > self.budget();
        self.held = if full { work } else { self.held.saturating_add(work) };
        self.done = self.done.saturating_add(work);
        full
    }

    /// All that was ordered is done, in the time since the last reading.
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

/// The most work that a submission should hold now; none where nobody watches how long it takes.
///
/// `watched` is false for a program that plays a GPU: it is never taken away.
pub(crate) fn budget(watched: bool) -> Option<u64> {
    METER.with_borrow(|meter| (watched || meter.fixed.is_some()).then(|| meter.budget()))
}

/// Counts an order that is about to be given; true if what was ordered before must be submitted first.
pub(crate) fn order(kernel: &'static str, groups: [usize; 3], work: u64) -> bool {
    METER.with_borrow_mut(|meter| {
        meter.since.get_or_insert_with(Instant::now);
        let empty = meter.held == 0;
        let full = meter.order(work);
        if meter.fixed.is_some() {
            meter.orders.push(Order { kernel, groups, work, begins: empty || full });
        }
        full
    })
}

/// A value was read: everything that was ordered before it is done.
pub(crate) fn read() {
    METER.with_borrow_mut(|meter| {
        // Before the first order there is nothing to count.
        if let Some(since) = meter.since {
            meter.finished(since.elapsed());
            meter.since = Some(Instant::now());
        }
    });
}

/// Runs `work` with submissions of at most `budget` floating-point operations, on any GPU; gives what was ordered, too.
pub fn with_budget<R>(budget: u64, work: impl FnOnce() -> R) -> (R, Vec<Order>) {
    let before = METER.take();
    METER.set(Meter { fixed: Some(budget), ..Meter::default() });
    let result = work();
    let meter = METER.replace(before);
    (result, meter.orders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_cut_into_as_few_even_pieces_as_the_budget_allows() {
        assert_eq!(pieces(100, 10, 100), [10]);
        assert_eq!(pieces(100, 10, 99), [5, 5]);
        assert_eq!(pieces(100, 10, 45), [3, 3, 4]);
        assert_eq!(pieces(100, 10, 10), [1; 10]);
        // A part is the least that there is.
        assert_eq!(pieces(100, 3, 1), [1; 3]);
        assert_eq!(pieces(u64::MAX, 4, u64::MAX / 2 + 1), [2, 2]);
        assert_eq!(pieces(5, 1, 2), [1]);
        for (work, parts, budget) in (1..40).flat_map(|work| (1..20).map(move |parts| (work, parts, 1 + work / 3))) {
            let cut = pieces(work, parts, budget);
            assert_eq!(cut.iter().sum::<usize>(), parts);
            let most = *cut.iter().max().unwrap();
            assert!(most == 1 || work * most as u64 <= budget * parts as u64, "{work} {parts} {budget}: {cut:?}");
        }
    }

    #[test]
    fn no_submission_holds_more_than_the_budget() {
        let mut meter = Meter { fixed: Some(10), ..Meter::default() };
        let begins: Vec<bool> = [4, 6, 1, 9, 30, 1].iter().map(|work| meter.order(*work)).collect();
        // 4 + 6 | 1 + 9 | 30, which nobody could cut | 1
        assert_eq!(begins, [false, false, true, false, true, true]);
        meter.finished(Duration::from_secs(1));
        assert!(!meter.order(10), "after a reading nothing is held");
    }

    #[test]
    fn the_budget_follows_the_fastest_that_the_device_has_been() {
        let quarter = |speed: f64| (speed / 4.0) as u64;
        let mut meter = Meter::default();
        assert_eq!(meter.budget(), quarter(SLOW), "nothing is known yet");
        // Hardly any work, and much waiting, for example for kernels to be compiled: says nothing.
        meter.order(TELLING / 10);
        meter.finished(Duration::from_secs(9));
        assert_eq!(meter.budget(), quarter(SLOW));
        // A slow device gets less, a fast one more; a pause afterwards changes nothing.
        for (work, seconds, speed) in [(40, 1, 4e10), (4000, 2, 2e12), (4000, 500, 2e12), (9000, 3, 3e12)] {
            meter.order(work * 1_000_000_000);
            meter.finished(Duration::from_secs(seconds));
            assert_eq!(meter.budget(), quarter(speed), "{work} in {seconds} s");
        }
        let mut stuck = Meter::default();
        stuck.order(TELLING);
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
        let ((), orders) = with_budget(5, || {
            assert_eq!(budget(false), Some(5));
            assert!(!order("a", [1; 3], 4) && order("b", [2; 3], 4));
        });
        let order = |kernel, groups, begins| Order { kernel, groups, work: 4, begins };
        assert_eq!(orders, [order("a", [1; 3], true), order("b", [2; 3], true)]);
        assert_eq!(budget(false), None);
    }
}
