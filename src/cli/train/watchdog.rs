//! A GPU that never answers: the program does not wait for it forever.
//!
//! A driver can lose work without an error. A thread that waits for a value is then blocked, and no error comes; so
//! another thread looks at how long the waiting has taken, and ends the program. What a run has is on the disk after
//! every step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::failpoints;
use crate::{Error, ops};

/// Waits up to this long are normal, once it is known how long waiting usually takes here.
const LEAST: Duration = Duration::from_secs(60);
/// This many times the longest wait before is too long: steps differ, but not by that.
const TIMES: u32 = 20;
/// Before anything was waited for there is nothing to compare with, and kernels are being compiled.
const FIRST: Duration = Duration::from_secs(900);

/// Somebody watches until this is dropped.
pub(super) struct Watch(Arc<()>);

/// Watches from now on, and calls `ended` with the error, which must not return to the work.
#[must_use]
pub(super) fn watch(ended: impl FnOnce(&Error) + Send + 'static) -> Watch {
    let watch = Watch(Arc::new(()));
    let watched = Arc::downgrade(&watch.0);
    // For tests, which have no GPU that hangs and no minute to wait.
    let short = failpoints::pass("watchdog").is_some();
    let pause = Duration::from_millis(if short { 50 } else { 500 });
    std::thread::spawn(move || {
        let mut waiting = ObservedWait::default();
        while watched.strong_count() > 0 {
            let before = Instant::now();
            std::thread::sleep(pause);
            // The rest of a longer pause is one of the machine, which slept, or of the program, which was stopped.
            let passed = before.elapsed().min(pause * 4);
            let waited = waiting.look(ops::waiting().unwrap_or_default(), passed);
            let limit = match waiting.longest {
                _ if short => Duration::from_secs(1),
                Duration::ZERO => FIRST,
                longest => LEAST.max(longest * TIMES),
            };
            if waited > limit {
                let reason = format!(
                    "no answer for {} seconds; run the same command to resume, with a smaller --batch-size if it happens \
                     again",
                    waited.as_secs()
                );
                let error = Error::Gpu { during: "the work on it".to_owned(), reason };
                ended(&error);
                return;
            }
        }
    });
    watch
}

/// What was seen of the waiting.
#[derive(Debug, Default)]
struct ObservedWait {
    /// How long the device has been waited for by the clock.
    by_the_clock: Duration,
    /// How long while anything could happen at all.
    waited: Duration,
    /// The longest that ended.
    longest: Duration,
}

impl ObservedWait {
    /// Looks again after some time in which the program ran; gives how long the device has been waited for.
    fn look(&mut self, by_the_clock: Duration, passed: Duration) -> Duration {
        if by_the_clock <= self.by_the_clock {
            // Another waiting, or none.
            self.longest = self.longest.max(self.waited);
            self.waited = by_the_clock.min(passed);
        } else {
            self.waited += passed.min(by_the_clock - self.by_the_clock);
        }
        self.by_the_clock = by_the_clock;
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_slept_has_not_waited() {
        let seconds = Duration::from_secs_f64;
        let mut waiting = ObservedWait::default();
        let mut look = |clock: f64| waiting.look(seconds(clock), seconds(0.5)).as_secs_f64();
        assert_eq!([0.0, 0.3, 0.8, 1.3].map(&mut look), [0.0, 0.3, 0.8, 1.3]);
        // The lid was closed for an hour; then the answer came.
        assert_eq!([3601.3, 3601.8, 0.0].map(&mut look), [1.8, 2.3, 0.0]);
        assert_eq!([0.2, 0.1].map(&mut look), [0.2, 0.1]);
        assert_eq!(waiting.longest, seconds(2.3));
    }
}
