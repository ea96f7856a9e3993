//! What a step costs the host: how often kernels are launched, how often work is submitted, and what handing it over
//! takes.
//!
//! The last is the processor time of cubecl's device thread alone, which hands launches to the driver; only Linux says it. The
//! thread that builds the launches is not in it, and the work of a software GPU may be: drivers may do some of that in the
//! thread that hands it over.
//!
//! On real GPUs this is what limits small steps. It can be measured without one, on a model of a real one's depth with
//! minimal widths (`--random sd1-narrow`).

use serde_json::{Value, json};

use super::Bench;
use crate::Result;
use crate::base::process::computed_by;
use crate::event::Event;
use crate::gpu;
use crate::ops::{LaunchCounter, Launches};

/// Steps before any is counted: the first compile kernels.
const WARMUP: u32 = 3;
/// Steps whose host time and submissions are averaged.
const COUNTED: u32 = 4;
/// How the names of the threads begin that hand launches to the driver: cubecl's.
const HANDING_OVER: &str = "DSD-";

/// What one step was.
pub struct StepLaunches {
    /// Those of the last step that was counted, Burn's included.
    pub launches: Launches,
    /// Submissions to the device's queue, on average.
    pub submissions: Option<f64>,
    /// Seconds for which the device thread computed, on average; where the system says it.
    pub host: Option<f64>,
}

impl StepLaunches {
    /// Microseconds of the device thread's time for each launch.
    pub fn microseconds(&self) -> Option<f64> {
        self.host.map(|seconds| seconds * 1e6 / self.launches.total().max(1) as f64)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let kernels: serde_json::Map<_, _> =
            self.launches.by_kernel().into_iter().map(|(kernel, count)| (kernel.to_owned(), json!(count))).collect();
        json!({
            "launches": self.launches.total(), "submissions": self.submissions,
            "host_us_per_launch": self.microseconds(), "kernels": kernels,
        })
    }

    /// A line for people.
    pub fn row(&self, name: &str) -> String {
        let submissions = self.submissions.map_or_else(String::new, |count| format!(", {count:.0} submissions"));
        let host = self.microseconds().map_or_else(String::new, |time| format!(", {time:.1} us of the host a launch"));
        format!("{name}: {} launches{host}{submissions}", self.launches.total())
    }

    /// A line for each kernel.
    pub fn kernels(&self) -> impl Iterator<Item = String> {
        self.launches.by_kernel().into_iter().map(|(kernel, count)| format!("{count:8}  {kernel}"))
    }
}

impl Bench {
    /// Counts what a guided denoising step launches.
    pub async fn denoising_launches(&self) -> Result<StepLaunches> {
        let mut job = self.denoising(WARMUP + COUNTED)?;
        self.launches(async || job.next().await).await
    }

    /// Counts what a training step launches.
    pub async fn training_launches(&self, batch: u32) -> Result<StepLaunches> {
        let mut job = self.training(batch, WARMUP + COUNTED)?;
        self.launches(async || job.next().await).await
    }

    async fn launches(&self, mut next: impl AsyncFnMut() -> Result<Option<Event>>) -> Result<StepLaunches> {
        let counter = LaunchCounter::start();
        let now = || (gpu::submissions(&self.device), computed_by(HANDING_OVER));
        let (mut steps, mut launches, mut begun) = (0, Launches::default(), now());
        while let Some(event) = next().await? {
            if !matches!(event, Event::Denoise { .. } | Event::Step { .. }) {
                continue;
            }
            steps += 1;
            launches = counter.take();
            match steps {
                WARMUP => begun = now(),
                _ if steps == WARMUP + COUNTED => break,
                _ => {}
            }
        }
        let ended = now();
        let counted = f64::from(steps.saturating_sub(WARMUP).max(1));
        // The first of the two was asked for by a submission of its own.
        let submissions = begun.0.zip(ended.0).map(|(begun, ended)| (ended - begun).saturating_sub(1) as f64 / counted);
        let host = begun.1.zip(ended.1).map(|(begun, ended)| (ended - begun) / counted);
        Ok(StepLaunches { launches, submissions, host })
    }
}
