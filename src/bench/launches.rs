//! What a step costs the host: how often kernels are launched, how often work is submitted, and the processor's time for that.
//!
//! On real GPUs this is what limits small steps. The time is measured on a device that computes nothing ([`gpu::noop`]): on
//! any other a driver's own work would be in it, on a software GPU all of the arithmetic. On a model of a real one's depth
//! with minimal widths (`--random sd1-narrow`) a step has the launches of a real one, and little else for the host to do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Bench;
use crate::Result;
use crate::base::math::median;
use crate::base::process::{computed_by, computed_here};
use crate::event::Event;
use crate::gpu::{self, noop};
use crate::ops::{LaunchCounter, LaunchTimer, Launches, read, submission};

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

/// What the launches of one kernel with one number of workgroups took, by the device's own clock.
pub struct KernelTime {
    /// The kernel, its form and its workgroups.
    pub name: String,
    /// How often it was launched.
    pub launches: usize,
    /// All of them together.
    pub seconds: f64,
}

impl KernelTime {
    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({"kernel": self.name, "launches": self.launches, "seconds": self.seconds})
    }

    /// A line for people.
    pub fn row(&self, all: f64) -> String {
        let Self { name, launches, seconds } = self;
        format!("{launches:8} x {:9.3} ms {:3.0} %  {name}", 1e3 * seconds / *launches as f64, 100.0 * seconds / all)
    }

    /// Those of a step, the longest first; none that the device said nothing of.
    fn of(launches: Vec<(String, Option<f64>)>) -> Vec<Self> {
        let mut by_name = BTreeMap::<String, (usize, f64)>::new();
        for (name, seconds) in launches {
            let Some(seconds) = seconds else { continue };
            let (count, sum) = by_name.entry(name).or_default();
            *count += 1;
            *sum += seconds;
        }
        let its = |(name, (launches, seconds))| Self { name, launches, seconds };
        let mut all: Vec<Self> = by_name.into_iter().map(its).collect();
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        all
    }
}

impl Bench {
    /// The time of each of our kernels in a guided denoising step.
    pub async fn denoising_kernels(&self) -> Result<Vec<KernelTime>> {
        let mut job = self.denoising(WARMUP + 2)?;
        Self::kernels(async || job.next().await).await
    }

    /// The same in a training step.
    pub async fn training_kernels(&self, batch: u32) -> Result<Vec<KernelTime>> {
        let mut job = self.training(batch, WARMUP + 2)?;
        Self::kernels(async || job.next().await).await
    }

    /// The same where a picture is encoded, and where one is decoded.
    pub async fn autoencoder_kernels(&self) -> Result<[Vec<KernelTime>; 2]> {
        let model = self.session.model();
        let (encoder, decoder) = (model.encoder(&mut |_| ()).await?, model.decoder(&mut |_| ()).await?);
        let (pixels, latents) = (self.pixels(), self.latents());
        read(encoder.encode(&pixels).mean).await?;
        let timer = LaunchTimer::start();
        read(encoder.encode(&pixels).mean).await?;
        let encoding = KernelTime::of(timer.take().await);
        read(decoder.decode(&latents)).await?;
        let timer = LaunchTimer::start();
        read(decoder.decode(&latents)).await?;
        Ok([encoding, KernelTime::of(timer.take().await)])
    }

    /// The time of each kernel in the step after those that compile them.
    async fn kernels(mut next: impl AsyncFnMut() -> Result<Option<Event>>) -> Result<Vec<KernelTime>> {
        let (mut steps, mut timer) = (0, None);
        while let Some(event) = next().await? {
            let (Event::Denoise { .. } | Event::Step { .. }) = event else { continue };
            steps += 1;
            if steps == WARMUP {
                timer = Some(LaunchTimer::start());
            } else if steps > WARMUP {
                break;
            }
        }
        Ok(match timer {
            Some(timer) => KernelTime::of(timer.take().await),
            None => Vec::new(),
        })
    }

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
