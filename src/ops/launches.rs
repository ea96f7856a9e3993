//! Which kernels are launched, and how often: ours and Burn's; and how long ours take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::logging::{LaunchObservation, LaunchObserver};
use cubecl::profile::ProfileDuration;

/// Launches by kernel: ours by the names of their files, Burn's by those of their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launches(BTreeMap<&'static str, u64>);

impl Launches {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each kernel and its launches, the most frequent first.
    pub fn by_kernel(&self) -> Vec<(&'static str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(kernel, count)| (*kernel, *count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }
}

/// Counts every launch of this process, on any device and thread, while it lives.
pub struct LaunchCounter {
    seen: Arc<Seen>,
    _watching: LaunchObservation,
}

#[derive(Default)]
struct Seen(Mutex<Launches>);

impl LaunchObserver for Seen {
    fn launched(&self, kernel: &'static str) {
        let mut launches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *launches.0.entry(short(kernel)).or_default() += 1;
    }
}

impl LaunchCounter {
    /// Begins at nothing.
    pub fn start() -> Self {
        let seen = Arc::<Seen>::default();
        Self { _watching: LaunchObservation::new(seen.clone()), seen }
    }

    /// What was launched since the last time, which is forgotten.
    pub fn take(&self) -> Launches {
        std::mem::take(&mut self.seen.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the device's own time of every launch of our kernels while it lives, from its timestamps: each is then submitted by itself,
/// so that all together take longer than they would. One lives at a time.
pub struct LaunchTimer(());

/// What each launch was called, and its time, while a timer lives.
static TIMED: Mutex<Option<Vec<(String, ProfileDuration)>>> = Mutex::new(None);

impl LaunchTimer {
    /// Begins with nothing.
    pub fn start() -> Self {
        *TIMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        Self(())
    }

    /// Each launch since the start, in order, and its seconds; no seconds where the device did not say.
    pub async fn take(self) -> Vec<(String, Option<f64>)> {
        let timed = TIMED.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let mut launches = Vec::with_capacity(timed.len());
        for (name, took) in timed {
            let seconds = took.resolve().await.map(|ticks| ticks.duration().as_secs_f64());
            launches.push((name, seconds));
        }
        launches
    }
}

impl Drop for LaunchTimer {
    fn drop(&mut self) {
        *TIMED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Whether launches are timed.
pub(super) fn are_timed() -> bool {
    TIMED.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Keeps the time of a launch.
pub(super) fn keep_time(name: String, took: ProfileDuration) {
    if let Some(timed) = &mut *TIMED.lock().unwrap_or_else(PoisonError::into_inner) {
        timed.push((name, took));
    }
}

/// A type's name without its path and without what it is generic in.
fn short(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_counted_by_short_names_the_most_frequent_first() {
        let seen = Seen::default();
        for name in ["a::b::Add<f32, c::d>", "linear", "linear"] {
            seen.launched(name);
        }
        let launches = seen.0.into_inner().unwrap();
        assert_eq!((launches.total(), launches.by_kernel()), (3, vec![("linear", 2), ("Add", 1)]));
    }
}
