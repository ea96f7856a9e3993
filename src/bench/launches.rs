//! What a step costs the host: how often kernels are launched, how often work is submitted, and the processor's time for that.
//!
//! On real GPUs this is what limits small steps. The time is measured on a device that computes nothing ([`gpu::noop`]): on
//! any other a driver's own work would be in it, on a software GPU all of the arithmetic. On a model of a real one's depth
//! with minimal widths (`--random sd1-narrow`) a step has the launches of a real one, and little else for the host to do.

use serde_json::{Value, json};

use super::Bench;
use crate::Result;
use crate::base::math::median;
use crate::base::process::{computed_by, computed_here};
use crate::event::Event;
use crate::gpu::{self, noop};
use crate::ops::{LaunchCounter, Launches, submission};

/// Steps before any is counted: the first compile kernels.
const WARMUP: u32 = 3;
/// Steps whose submissions are averaged.
const COUNTED: u32 = 4;
/// Steps whose host time and submissions are averaged, on a device that computes nothing.
const TIMED: u32 = 40;
/// How the names of the threads begin that hand launches to the driver: cubecl's.
const HANDING_OVER: &str = "DSD-";

/// What one step was.
pub struct StepLaunches {
    /// Burn's included.
    pub launches: Launches,
    /// Submissions to the device's queue, on average.
    pub submissions: Option<f64>,
    /// On a device that computes nothing, where the system says it (on Linux).
    pub host: Option<HostTime>,
}

/// Seconds of a step.
#[derive(Debug, Clone, Copy)]
pub struct HostTime {
    /// On the clock, the median: two threads work side by side.
    pub all: f64,
    /// For which the thread computed that asks for the step, on average: it decides what is launched, and spins
    /// while the other one is behind.
    pub building: f64,
    /// For which cubecl's device thread computed, which gives it to wgpu.
    pub handing_over: f64,
}

impl StepLaunches {
    /// Microseconds for each launch: on the clock, building it, and handing it over.
    pub fn microseconds(&self) -> Option<[f64; 3]> {
        let each = 1e6 / self.launches.total().max(1) as f64;
        self.host.map(|host| [host.all, host.building, host.handing_over].map(|seconds| seconds * each))
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let kernels: serde_json::Map<_, _> =
            self.launches.by_kernel().into_iter().map(|(kernel, count)| (kernel.to_owned(), json!(count))).collect();
        let host = self.microseconds().map(
            |[all, building, handing_over]| json!({"all": all, "building": building, "handing_over": handing_over}),
        );
        json!({
            "launches": self.launches.total(), "submissions": self.submissions,
            "host_us_per_launch": host, "kernels": kernels,
        })
    }

    /// A line for people.
    pub fn row(&self, name: &str) -> String {
        let submissions = self.submissions.map_or_else(String::new, |count| format!(", {count:.0} submissions"));
        let host = self.microseconds().map_or_else(String::new, |[all, building, handing_over]| {
            format!(
                ", {all:.1} us of the host a launch (threads side by side: {building:.1} to build it, waiting included, \
                 {handing_over:.1} to hand it over)"
            )
        });
        format!("{name}: {} launches{submissions}{host}", self.launches.total())
    }

    /// A line for each kernel.
    pub fn kernels(&self) -> impl Iterator<Item = String> {
        self.launches.by_kernel().into_iter().map(|(kernel, count)| format!("{count:8}  {kernel}"))
    }
}

impl Bench {
    /// Counts what a guided denoising step launches.
    pub async fn denoising_launches(&self) -> Result<StepLaunches> {
        let mut job = self.denoising(self.counted_steps())?;
        self.launches(async || job.next().await).await
    }

    /// Counts what a training step launches.
    pub async fn training_launches(&self, batch: u32) -> Result<StepLaunches> {
        let mut job = self.training(batch, self.counted_steps())?;
        self.launches(async || job.next().await).await
    }

    /// Steps whose submissions and time are averaged.
    fn averaged(&self) -> u32 {
        if noop::is(&self.device) { TIMED } else { COUNTED }
    }

    /// Those before, those, and the one whose launches are counted: counting takes time itself.
    fn counted_steps(&self) -> u32 {
        WARMUP + self.averaged() + 1
    }

    async fn launches(&self, mut next: impl AsyncFnMut() -> Result<Option<Event>>) -> Result<StepLaunches> {
        let timed = noop::is(&self.device);
        // How fast a device is that computes nothing says nothing of others.
        let _apart = timed.then(submission::Apart::begin);
        let now = || (gpu::submissions(&self.device), computed_here(), computed_by(HANDING_OVER));
        let last = WARMUP + self.averaged();
        let (mut steps, mut counter, mut launches) = (0, None, Launches::default());
        let (mut begun, mut ended, mut times) = (now(), now(), Vec::new());
        while let Some(event) = next().await? {
            let (Event::Denoise { secs, .. } | Event::Step { secs, .. }) = event else { continue };
            steps += 1;
            if steps > WARMUP && steps <= last {
                times.push(secs);
            }
            if steps == WARMUP {
                begun = now();
            } else if steps == last {
                ended = now();
                counter = Some(LaunchCounter::start());
            } else if let Some(counter) = &counter {
                launches = counter.take();
                break;
            }
        }
        let each = f64::from(self.averaged());
        // The first of the two was asked for by a submission of its own.
        let submissions = begun.0.zip(ended.0).map(|(begun, ended)| (ended - begun).saturating_sub(1) as f64 / each);
        let seconds = |begun: Option<f64>, ended: Option<f64>| Some((ended? - begun?) / each);
        let host = seconds(begun.1, ended.1).zip(seconds(begun.2, ended.2)).filter(|_| timed);
        times.sort_by(f64::total_cmp);
        let all = median(&times).unwrap_or(f64::NAN);
        let host = host.map(|(building, handing_over)| HostTime { all, building, handing_over });
        Ok(StepLaunches { launches, submissions, host })
    }
}
