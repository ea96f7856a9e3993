//! Failures on demand, to test what must happen after them.
//!
//! The variable `PSEUDOWORD_FAILPOINTS` is read by the program, which calls [`arm`], and never by the library; where it
//! is not set, nothing here does anything. It lists places that the program passes, what is to happen there, and at
//! which of the passages: `state:sync=die@3 log.jsonl:write=full@2-9 step=gpu-lost@2`. A file's places are its name and
//! `create`, `half`, `sync`, `keep`, `rename` and `folder` (what [`super::files::write_whole`] does, just before it
//! does it; a disposable file has only `half`); `step` comes after each step of a run, `piece` before each piece of work
//! that `bench` measures, `memory` before each look at how much memory is free, which is none where anything is to happen
//! there. `every-step=on` has the state saved after every step however long that takes, `watch-cpu=on` and `watchdog=on`
//! have the processor watched as a GPU is, and with a second's patience; with `impatient=on` a run listens for another machine for a
//! twentieth of the usual time.

use std::io;
use std::sync::{Mutex, PoisonError};

/// What can be made to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The process ends at once, as by `kill -9`.
    Die,
    /// The disk is full.
    Full,
    /// The disk has become read-only.
    ReadOnly,
    /// The disk is broken.
    Broken,
    /// A bug.
    Panic,
    /// The GPU goes away.
    GpuLost,
    /// The GPU has no memory left.
    GpuMemory,
    /// The GPU is given an invalid command.
    GpuInvalid,
    /// The program hangs.
    Hang,
    /// Switches on what the place is named after.
    On,
}

const NAMES: [(&str, Failure); 10] = [
    ("die", Failure::Die),
    ("full", Failure::Full),
    ("read-only", Failure::ReadOnly),
    ("broken", Failure::Broken),
    ("panic", Failure::Panic),
    ("gpu-lost", Failure::GpuLost),
    ("gpu-memory", Failure::GpuMemory),
    ("gpu-invalid", Failure::GpuInvalid),
    ("hang", Failure::Hang),
    ("on", Failure::On),
];

/// A place, and how often it has been passed.
struct Point {
    place: String,
    failure: Failure,
    from: u32,
    to: u32,
    passed: u32,
}

static POINTS: Mutex<Vec<Point>> = Mutex::new(Vec::new());

/// Reads the variable. Until this is called, and where it is not, places are passed without consequences.
pub fn arm() {
    let listed = std::env::var("PSEUDOWORD_FAILPOINTS").unwrap_or_default();
    *POINTS.lock().unwrap_or_else(PoisonError::into_inner) = listed.split_whitespace().filter_map(parse).collect();
}

fn parse(written: &str) -> Option<Point> {
    let (place, what) = written.split_once('=')?;
    let (name, when) = what.split_once('@').unwrap_or((what, "1"));
    let (from, to) = when.split_once('-').unwrap_or((when, when));
    let (_, failure) = NAMES.iter().find(|(known, _)| *known == name)?;
    Some(Point {
        place: place.to_owned(),
        failure: *failure,
        from: from.parse().ok()?,
        to: to.parse().ok()?,
        passed: 0,
    })
}

/// Passes a place; what is to happen there, if anything. Dying and bugs happen here.
#[allow(clippy::panic, reason = "a failure that was asked for")]
pub fn pass(place: &str) -> Option<Failure> {
    let failure = {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = None;
        for point in points.iter_mut().filter(|point| point.place == place) {
            point.passed += 1;
            if (point.from..=point.to).contains(&point.passed) {
                now = Some(point.failure);
            }
        }
        now
    };
    match failure {
        Some(Failure::Die) => std::process::abort(),
        Some(Failure::Panic) => panic!("a panic was asked for at {place}"),
        failure => failure,
    }
}

/// Passes a place where files are worked with.
pub fn pass_file(file: &str, stage: &str) -> io::Result<()> {
    // The usual case costs nothing.
    if POINTS.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        return Ok(());
    }
    match pass(&format!("{file}:{stage}")) {
        Some(Failure::Full) => Err(io::ErrorKind::StorageFull.into()),
        Some(Failure::ReadOnly) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        Some(_) => Err(io::Error::other("input/output error")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_written_with_a_place_a_failure_and_a_time() {
        let point = parse("state:sync=die@3").unwrap();
        assert_eq!((point.place.as_str(), point.failure, point.from, point.to), ("state:sync", Failure::Die, 3, 3));
        let point = parse("step=hang@2-9").unwrap();
        assert_eq!((point.failure, point.from, point.to), (Failure::Hang, 2, 9));
        assert!(parse("step=nonsense").is_none() && parse("step").is_none());
    }
}
