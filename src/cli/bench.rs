//! `pseudoword bench`: how long steps take and what memory they need.
//!
//! The pieces of work, their sizes and the names of the figures are those of `benches/peer/peer.py`, which measures
//! diffusers and PyTorch. Every time ends with values read back from the device, so that nothing is still under way.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::args::{BenchArgs, Shared};
use super::find;
use super::open::{self, ModelId};
use super::output::Output;
use crate::config::{SampleConfig, TrainConfig};
use crate::event::Event;
use crate::image::Picture;
use crate::noise::{Noise, Stream};
use crate::session::Session;
use crate::train::{TrainInput, TrainPicture};
use crate::{Error, Result, platform};

/// Repetitions before any is timed.
const WARMUP: u32 = 3;
/// Repetitions that are timed however long they take.
const FEWEST: usize = 3;

/// One piece of work, measured.
struct Figures {
    seconds: Vec<f64>,
    /// The process's peak so far, which is why small work comes first.
    peak_rss: Option<f64>,
    gpu: Option<f64>,
}

/// What is asked for.
struct Bench<'a> {
    args: &'a BenchArgs,
    session: Session,
    device: Device,
    /// Side in pixels.
    side: u32,
}

/// Measures.
pub(super) async fn run(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    if args.steps == 0 || args.batch.contains(&0) || args.seconds.is_nan() {
        return Err(Error::Usage("--steps and --batch must be at least 1, --seconds a number".to_owned()));
    }
    let source = find::model(shared, out).await?;
    let model = ModelId::of(&*source).await?;
    let load = load_average();
    let begun = Instant::now();
    let (session, chosen) = open::session(shared, source, out).await?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let side = args.resolution.unwrap_or_else(|| session.model().config.resolution());
    let bench = Bench { args, device: chosen.device.clone(), session, side };

    let mut object = json!({
        "event": "bench", "engine": super::label::version(), "model": model.name, "device": chosen.name,
        "kind": chosen.kind, "side": side, "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "load_s": load_seconds, "load_1m": load, "checkpointing": super::label::option_name(&args.checkpointing),
    });
    // People see each figure when it is there, programs get one object in the end.
    let mut measured = |name: &str, path: &[&str], figures: Figures, out: &mut Output| {
        let place = path.iter().fold(&mut object, |place, key| &mut place[*key]);
        *place = figures.to_json();
        out.told(&figures.row(name))
    };
    out.told(&format!("{}: {}, {}, {side} x {side} pixels", super::label::version(), chosen.name, model.name))?;
    out.told(&format!("{:26}{:>10}{:>10}{:>10}   times", "", "median", "min", "max"))?;
    measured("VAE encode", &["vae_encode_s"], bench.encode().await?, out)?;
    measured("VAE decode", &["vae_decode_s"], bench.decode().await?, out)?;
    measured("denoising step (guided)", &["denoise_step_s"], bench.denoise().await?, out)?;
    let mut batches = args.batch.clone();
    batches.sort_unstable();
    batches.dedup();
    for batch in batches {
        let figures = bench.train(batch).await?;
        measured(&format!("training step, batch {batch}"), &["train_step_s", &batch.to_string()], figures, out)?;
    }

    let mut lines = vec![format!("loading the model {load_seconds:.2} s")];
    let peak = peak_rss();
    object["peak_rss_mb"] = json!(peak);
    let gpu = bench.gpu_memory();
    object["peak_gpu_mb"] = json!(gpu);
    let show =
        |megabytes: Option<f64>| megabytes.map_or("unknown".to_owned(), |megabytes| format!("{megabytes:.0} MB"));
    lines.push(format!(
        "peak memory {}{}",
        show(peak),
        gpu.map_or(String::new(), |gpu| format!(", GPU pool {gpu:.0} MB"))
    ));
    if let Some(load) = load.filter(|load| *load > 0.5) {
        lines.push(format!("other programs were running (load average {load:.2}): these figures are worth little"));
    }
    out.result(&lines.join("\n"), &object)
}

impl Bench<'_> {
    async fn encode(&self) -> Result<Figures> {
        let encoder = self.session.model().encoder(&mut |_| ()).await?;
        let side = self.side as usize;
        let pixels = self.random([1, side, side, 3]).clamp(-1.0, 1.0);
        self.repeat(async || platform::read(encoder.encode(&pixels).mean).await).await
    }

    async fn decode(&self) -> Result<Figures> {
        let model = self.session.model();
        let side = self.side as usize / model.config.vae.pixels_per_latent();
        let latents = self.random([1, side, side, model.config.vae.latent_channels]);
        self.repeat(async || platform::read(model.decoder.decode(&latents)).await).await
    }

    /// The U-Net on the empty and the full prompt, guidance, and a sampler's step.
    async fn denoise(&self) -> Result<Figures> {
        let steps = self.args.steps + WARMUP;
        let (width, height) = (Some(self.side), Some(self.side));
        let config = SampleConfig { guidance: 7.5, steps, width, height, ..SampleConfig::default() };
        let mut job = self.session.sample("a photo of a cat", &config)?;
        let mut clock = Clock::new(self);
        while let Some(event) = job.next().await? {
            if let Event::Denoise { secs, .. } = event
                && clock.full(secs)
            {
                break;
            }
        }
        Ok(clock.figures())
    }

    /// Steps on cached latents: encode the prompt, predict, compare, back to one row, AdamW.
    async fn train(&self, batch: u32) -> Result<Figures> {
        let config = TrainConfig {
            token: "<bench>".to_owned(),
            steps: self.args.steps + WARMUP,
            batch_size: batch,
            checkpointing: self.args.checkpointing,
            resolution: Some(self.side),
            no_flip: true,
            eval_every: 0,
            eval_size: 1,
            preview_every: 0,
            save_every: 0,
            ..TrainConfig::default()
        };
        let pixels = RgbImage::from_fn(self.side, self.side, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let picture = Picture { name: "a pattern".to_owned(), pixels, notes: Vec::new() };
        let input = TrainInput { pictures: vec![TrainPicture { picture, caption: None }], ..TrainInput::default() };
        let mut job = self.session.train(&config, input)?;
        let mut clock = Clock::new(self);
        while let Some(event) = job.next().await? {
            if let Event::Step { secs, .. } = event
                && clock.full(secs)
            {
                break;
            }
        }
        Ok(clock.figures())
    }

    /// Times some work that ends with values on the host.
    async fn repeat(&self, work: impl AsyncFn() -> Result<Vec<f32>>) -> Result<Figures> {
        let mut clock = Clock::new(self);
        loop {
            let begun = Instant::now();
            work().await?;
            if clock.full(begun.elapsed().as_secs_f64()) {
                return Ok(clock.figures());
            }
        }
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let values = Noise::new(0).draws(0, Stream::Latents).normals(shape.iter().product());
        Tensor::<1>::from_floats(values.as_slice(), &self.device).reshape(shape)
    }

    /// Megabytes that the GPU's pools hold; they grow and do not shrink, so this is the peak.
    fn gpu_memory(&self) -> Option<f64> {
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved as f64 / f64::from(1 << 20))
    }
}

/// Collects times until there are enough.
struct Clock<'a> {
    bench: &'a Bench<'a>,
    warmup: u32,
    seconds: Vec<f64>,
}

impl<'a> Clock<'a> {
    fn new(bench: &'a Bench<'a>) -> Self {
        Self { bench, warmup: WARMUP, seconds: Vec::new() }
    }

    /// Takes a time; whether that was the last one needed.
    fn full(&mut self, seconds: f64) -> bool {
        if self.warmup > 0 {
            self.warmup -= 1;
            return false;
        }
        self.seconds.push(seconds);
        let enough = self.seconds.len() >= self.bench.args.steps as usize;
        let late = self.seconds.iter().sum::<f64>() > self.bench.args.seconds;
        enough || (late && self.seconds.len() >= FEWEST)
    }

    fn figures(mut self) -> Figures {
        self.seconds.sort_by(f64::total_cmp);
        Figures { seconds: self.seconds, peak_rss: peak_rss(), gpu: self.bench.gpu_memory() }
    }
}

impl Figures {
    fn median(&self) -> f64 {
        let (count, seconds) = (self.seconds.len(), &self.seconds);
        match count {
            0 => f64::NAN,
            _ => (seconds[count / 2] + seconds[(count - 1) / 2]) / 2.0,
        }
    }

    fn min(&self) -> f64 {
        self.seconds.first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.seconds.last().copied().unwrap_or(f64::NAN)
    }

    fn to_json(&self) -> Value {
        json!({
            "median": self.median(), "min": self.min(), "max": self.max(), "reps": self.seconds.len(),
            "peak_rss_mb": self.peak_rss, "gpu_mb": self.gpu,
        })
    }

    fn row(&self, name: &str) -> String {
        let times = [self.median(), self.min(), self.max()].map(|seconds| format!("{:8.1}ms", seconds * 1000.0));
        format!("{name:26}{}   {}", times.concat(), self.seconds.len())
    }
}

/// The most memory that the process has had, in megabytes, where the system tells.
pub(super) fn peak_rss() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.map(|kilobytes| kilobytes / 1024.0)
}

/// How many programs wanted a processor in the last minute, where the system tells.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}
