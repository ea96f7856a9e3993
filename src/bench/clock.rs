//! Times of one piece of work, and the memory after it.

use serde_json::{Value, json};

use super::{Bench, Effort};
use crate::base::bytes::{megabytes, size};
use crate::base::math::median;
use crate::base::process::peak_memory;

/// Repetitions before any is timed, unless one of them takes longer than the time allowed.
const WARMUP: u32 = 3;
/// The fewest repetitions that are timed, unless one takes longer than the time allowed.
const FEWEST: usize = 3;

/// Collects times until there are enough.
pub(super) struct Clock {
    warmup: u32,
    most: usize,
    limit: f64,
    seconds: Vec<f64>,
}

impl Clock {
    pub fn new(effort: Effort) -> Self {
        Self { warmup: WARMUP, most: effort.repetitions as usize, limit: effort.seconds, seconds: Vec::new() }
    }

    /// Steps that a job needs for all repetitions.
    pub fn steps(effort: Effort) -> u32 {
        effort.repetitions + WARMUP
    }

    /// Takes a time; gives whether that was the last one needed.
    pub fn full(&mut self, seconds: f64) -> bool {
        let slow = seconds > self.limit;
        if self.warmup > 0 {
            self.warmup = if slow { 0 } else { self.warmup - 1 };
            return false;
        }
        self.seconds.push(seconds);
        let enough = self.seconds.len() >= self.most;
        let late = self.seconds.iter().sum::<f64>() > self.limit;
        enough || slow || (late && self.seconds.len() >= FEWEST)
    }

    pub fn figures(mut self, bench: &Bench) -> Figures {
        self.seconds.sort_by(f64::total_cmp);
        Figures { seconds: self.seconds, peak_rss: peak_memory(), gpu: bench.gpu_memory() }
    }
}

/// Collects the times of work that is done piece by piece, until all of it was done often enough: a piece that is slow by itself
/// must not end the warming up of the others.
pub(super) struct PieceClock<const N: usize> {
    whole: Clock,
    pieces: [Vec<f64>; N],
}

impl<const N: usize> PieceClock<N> {
    pub fn new(effort: Effort) -> Self {
        Self { whole: Clock::new(effort), pieces: std::array::from_fn(|_| Vec::new()) }
    }

    /// Takes the times of the pieces; gives whether those were the last ones needed.
    pub fn full(&mut self, seconds: [f64; N]) -> bool {
        let full = self.whole.full(seconds.iter().sum());
        // Those of the warming up do not count.
        if !self.whole.seconds.is_empty() {
            self.pieces.iter_mut().zip(seconds).for_each(|(times, seconds)| times.push(seconds));
        }
        full
    }

    /// The time in the middle of each piece, in seconds.
    pub fn medians(mut self) -> [f64; N] {
        self.pieces.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        self.pieces.map(|times| median(&times).unwrap_or(f64::NAN))
    }
}

/// One piece of work, measured.
pub struct Figures {
    /// Sorted.
    seconds: Vec<f64>,
    /// The process's peak so far, which is why small work comes first.
    peak_rss: Option<f64>,
    /// The most that the GPU's memory held during this work, in bytes.
    gpu: Option<u64>,
}

impl Figures {
    /// The time in the middle, in seconds.
    pub fn median(&self) -> f64 {
        median(&self.seconds).unwrap_or(f64::NAN)
    }

    /// The shortest time, in seconds.
    pub fn min(&self) -> f64 {
        self.seconds.first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.seconds.last().copied().unwrap_or(f64::NAN)
    }

    /// The most that the GPU's memory held during this work, in bytes.
    pub fn gpu(&self) -> Option<u64> {
        self.gpu
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "median": self.median(), "min": self.min(), "max": self.max(), "reps": self.seconds.len(),
            "peak_rss_mb": self.peak_rss, "gpu_mb": self.gpu.map(megabytes),
        })
    }

    /// A line for people.
    pub fn row(&self, name: &str) -> String {
        let times = [self.median(), self.min(), self.max()].map(|seconds| format!("{:8.1}ms", seconds * 1000.0));
        let gpu = self.gpu.map_or_else(String::new, |bytes| format!("{:>12}", size(bytes)));
        format!("{name:26}{}{:>8}{gpu}", times.concat(), self.seconds.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(most: usize, limit: f64) -> Clock {
        Clock { warmup: WARMUP, most, limit, seconds: Vec::new() }
    }

    /// How many repetitions are made, and how many of them count, if each takes this long.
    fn taken(mut clock: Clock, seconds: f64) -> (usize, usize) {
        let mut all = 1;
        while !clock.full(seconds) {
            all += 1;
        }
        (all, clock.seconds.len())
    }

    #[test]
    fn slow_work_is_repeated_less() {
        assert_eq!(taken(clock(20, 60.0), 0.1), (23, 20));
        assert_eq!(taken(clock(20, 1.0), 0.5), (6, 3));
        assert_eq!(taken(clock(20, 1.0), 5.0), (2, 1));
    }

    #[test]
    fn every_piece_has_a_time_however_slow_the_last_one_is() {
        let effort = Effort { repetitions: 20, seconds: 1.0 };
        for (pieces, warmup, counted) in [([0.001, 0.01, 5.0], 1, 1), ([0.1, 0.2, 0.3], 3, 3), ([0.001; 3], 3, 20)] {
            let mut clock = PieceClock::new(effort);
            let all = 1 + (0..).take_while(|_| !clock.full(pieces)).count();
            assert_eq!(all, warmup + counted, "{pieces:?}");
            assert_eq!(clock.pieces.each_ref().map(Vec::len), [counted; 3], "{pieces:?}");
            assert_eq!(clock.medians(), pieces);
        }
    }
}
