//! A GPU that never answers: the program does not wait for it for ever.
//!
//! A driver can lose work without a word. Whoever waits for a value is then blocked, and no error comes; so another thread
//! looks at how long the waiting has taken, and ends the program. What a run has is on the disk after every step.

use std::time::Duration;

use super::failpoints;
use crate::{Error, platform};

/// Waiting for so long is looked into, once it is known how long waiting usually takes here.
const LEAST: Duration = Duration::from_secs(60);
/// So many times the longest that was waited before is too long: steps differ, but not by that.
const TIMES: u32 = 20;
/// Before anything was waited for there is nothing to compare with, and kernels are being compiled.
const FIRST: Duration = Duration::from_secs(900);

/// Watches from now on, and calls `ended` with the error, which must not return to the work.
pub(super) fn watch(ended: impl FnOnce(&Error) + Send + 'static) {
    // For tests, which have no GPU that hangs and no minute to wait.
    let short = failpoints::pass("watchdog").is_some();
    let pause = Duration::from_millis(if short { 50 } else { 500 });
    std::thread::spawn(move || {
        let (mut longest, mut now) = (Duration::ZERO, Duration::ZERO);
        loop {
            std::thread::sleep(pause);
            let waited = platform::waiting().unwrap_or_default();
            if waited < now {
                longest = longest.max(now);
            }
            now = waited;
            let limit = match longest {
                _ if short => Duration::from_secs(1),
                Duration::ZERO => FIRST,
                longest => LEAST.max(longest * TIMES),
            };
            if waited > limit {
                let reason = format!(
                    "no answer for {} seconds; give the same command again to go on, with a smaller --batch-size if it \
                     happens again",
                    waited.as_secs()
                );
                let error = Error::Gpu { during: "the work on it".to_owned(), reason };
                ended(&error);
                return;
            }
        }
    });
}
