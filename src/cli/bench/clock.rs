//! Times of one piece of work, and what became of the memory.

use serde_json::{Value, json};

use super::Bench;
use crate::base::math::median;
use crate::cli::args::BenchArgs;

/// Repetitions before any is timed, unless one of them takes longer than the time that is given.
const WARMUP: u32 = 3;
/// Repetitions that are timed however long they take, unless one takes longer than the time that is given.
const FEWEST: usize = 3;

/// Collects times until there are enough.
pub(super) struct Clock {
    warmup: u32,
    most: usize,
    limit: f64,
    seconds: Vec<f64>,
}

impl Clock {
    pub fn new(args: &BenchArgs) -> Self {
        Self { warmup: WARMUP, most: args.steps as usize, limit: args.seconds, seconds: Vec::new() }
    }

    /// Steps that a job needs for all repetitions.
    pub fn steps(args: &BenchArgs) -> u32 {
        args.steps + WARMUP
    }

    /// Takes a time; whether that was the last one needed.
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

    pub fn figures(mut self, bench: &Bench<'_>) -> Figures {
        self.seconds.sort_by(f64::total_cmp);
        Figures { seconds: self.seconds, peak_rss: peak_rss(), gpu: bench.gpu_memory() }
    }
}

/// One piece of work, measured.
pub(super) struct Figures {
    /// Sorted.
    seconds: Vec<f64>,
    /// The process's peak so far, which is why small work comes first.
    peak_rss: Option<f64>,
    gpu: Option<f64>,
}

impl Figures {
    pub fn median(&self) -> f64 {
        median(&self.seconds).unwrap_or(f64::NAN)
    }

    pub fn min(&self) -> f64 {
        self.seconds.first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.seconds.last().copied().unwrap_or(f64::NAN)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "median": self.median(), "min": self.min(), "max": self.max(), "reps": self.seconds.len(),
            "peak_rss_mb": self.peak_rss, "gpu_mb": self.gpu,
        })
    }

    pub fn row(&self, name: &str) -> String {
        let times = [self.median(), self.min(), self.max()].map(|seconds| format!("{:8.1}ms", seconds * 1000.0));
        format!("{name:26}{}   {}", times.concat(), self.seconds.len())
    }
}

/// The most memory that the process has had, in megabytes, where the system tells.
pub(in crate::cli) fn peak_rss() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0)
}

/// How many programs wanted a processor in the last minute, where the system tells.
pub(super) fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(most: usize, limit: f64) -> Clock {
        Clock { warmup: WARMUP, most, limit, seconds: Vec::new() }
    }

    /// How many times are taken, and how many of them count, if every repetition takes so long.
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
}
