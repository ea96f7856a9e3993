//! `pseudoword bench`: how long steps take and what memory they need.
//!
//! The pieces of work, their sizes and the names of the figures are those of `benches/peer/peer.py`, which measures
//! diffusers and PyTorch. Every time ends with values read back from the device, so that nothing is still under way.

mod clock;
mod ops;
mod work;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use image::{Rgb, RgbImage};
use serde_json::json;

pub(super) use self::clock::peak_rss;
use self::clock::{Clock, Figures, load_average};
use self::work::unet_flops;
use super::args::{BenchArgs, RandomModel, Shared};
use super::find;
use super::open::{self, ModelId};
use super::output::Output;
use crate::checkpoint::{Family, family_files};
use crate::config::{SampleConfig, TrainConfig};
use crate::event::Event;
use crate::image::Picture;
use crate::model::{Loading, ModelConfig, with_random_weights};
use crate::noise::{Noise, Stream};
use crate::ops::{Var, backward, mse, read, settle, tiles};
use crate::plan::{self, MemoryPlan};
use crate::session::Session;
use crate::source::{Memory, Source};
use crate::train::{TrainInput, TrainPicture};
use crate::{Error, Result};

/// What is asked for.
struct Bench<'a> {
    args: &'a BenchArgs,
    session: Session,
    device: Device,
    /// Side in pixels.
    side: u32,
    /// Whether the U-Net's matrices are kept in half precision.
    half: bool,
}

/// Measures.
pub(super) async fn run(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    if args.steps == 0 || args.batch.contains(&0) || args.seconds.is_nan() {
        return Err(Error::Usage("--steps and --batch must be at least 1, --seconds a number".to_owned()));
    }
    let (source, model) = model(args, shared, out).await?;
    let load = load_average();
    let begun = Instant::now();
    let asked =
        TrainConfig { checkpointing: args.checkpointing, resolution: args.resolution, ..TrainConfig::default() };
    let planned = |model: &ModelConfig, weights, on_cpu| {
        let side = args.resolution.unwrap_or_else(|| model.resolution());
        let asked = TrainConfig { batch_size: args.batch.iter().copied().max().unwrap_or(1), ..asked.clone() };
        let job = plan::Job { height: side, width: side, batch: asked.batch_size };
        // Its denoising steps and decoded pictures have that size, too.
        let pictures = Some(plan::Job { batch: 2, ..job });
        MemoryPlan::training(model, weights, job, crate::train::recomputes(&asked, model), pictures, on_cpu)
    };
    let (session, chosen) = open::session(shared, source, &planned, Loading::default(), out).await?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let side = args.resolution.unwrap_or_else(|| session.model().config.resolution());
    let half = session.model().unet.stored() == crate::weights::Stored::F16;
    let bench = Bench { args, device: chosen.device.clone(), session, side, half };
    let flops = unet_flops(&bench.session.model().config, side as usize / bench.pixels_per_latent());

    let mut object = json!({
        "event": "bench", "engine": crate::sample::SOFTWARE, "model": model.name, "device": chosen.name,
        "kind": chosen.kind, "side": side, "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "weights": if half { "f16" } else { "f32" }, "unet_gflop": flops / 1e9, "load_s": load_seconds, "load_1m": load, "checkpointing": super::args::option_name(&args.checkpointing),
    });
    object["tiles"] = json!(tiles(&chosen.device).map(|tiles| tiles.names().into_iter().collect::<BTreeMap<_, _>>()));
    // People see each figure when it is there, programs get one object in the end.
    let mut measured = |name: &str, path: &[&str], figures: Figures, out: &mut Output| {
        let place = path.iter().fold(&mut object, |place, key| &mut place[*key]);
        *place = figures.to_json();
        out.line(&figures.row(name))
    };
    out.line(&format!("{}: {}, {}, {side} x {side} pixels", crate::sample::SOFTWARE, chosen.name, model.name))?;
    if let Some(tiles) = tiles(&chosen.device) {
        out.line(&format!("matrix products in tiles: {}", tiles.words()))?;
    }
    out.line(&format!("{:26}{:>10}{:>10}{:>10}   times", "", "median", "min", "max"))?;
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

    let peak = bench.peak().await?;
    object["peak_gflops"] = json!(peak.gflops);
    object["bandwidth_gb_s"] = json!(peak.gigabytes);
    out.line(&format!("this device at most: {:.1} GFLOP/s, {:.1} GB/s", peak.gflops, peak.gigabytes))?;
    let batch = args.batch.iter().copied().min().unwrap_or(1);
    let split = bench.split(batch).await?;
    let rest =
        (object["train_step_s"][batch.to_string()]["median"].as_f64().unwrap_or(f64::NAN) - split.sum()).max(0.0);
    // Forward once, backward to the activations once more, and the forward pass again where blocks are recomputed.
    let passes = if split.recomputed { 3.0 } else { 2.0 };
    let rate = |passes: f64, seconds: f64| passes * f64::from(batch) * flops / seconds / 1e9;
    let (forward_rate, step_rate) = (rate(1.0, split.unet), rate(passes, split.unet + split.backward));
    object["split_s"] = json!({
        "batch": batch, "text": split.text, "unet": split.unet, "backward": split.backward, "rest": rest,
        "recomputed": split.recomputed, "unet_gflops": forward_rate, "step_gflops": step_rate,
    });
    let milliseconds = |seconds: f64| format!("{:.1} ms", seconds * 1000.0);
    out.line(&format!(
        "of a training step, batch {batch}: text {}, U-Net {}, backward {}, rest (optimiser, noise, reading) {}",
        milliseconds(split.text),
        milliseconds(split.unet),
        milliseconds(split.backward),
        milliseconds(rest)
    ))?;
    out.line(&format!(
        "U-Net forward {forward_rate:.1} GFLOP/s ({:.0} % of the most), forward and backward {step_rate:.1} ({:.0} %)",
        100.0 * forward_rate / peak.gflops,
        100.0 * step_rate / peak.gflops
    ))?;
    if args.ops {
        out.line(&format!(
            "{:36}{:>8}{:>13}{:>11}",
            "operations of the U-Net, batch 1", "count", "forward", "backward"
        ))?;
        let rows = bench.operations(&peak).await?;
        for (row, _) in &rows {
            out.line(row)?;
        }
        object["ops"] = rows.into_iter().map(|(_, object)| object).collect();
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

/// The model that is measured: the one that is asked for, or one of its kind with random weights.
async fn model(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<(Rc<dyn Source>, ModelId)> {
    let family = match args.random {
        None => {
            let source = find::model(shared, out).await?;
            let model = ModelId::named(&*source);
            return Ok((source, model));
        }
        Some(RandomModel::Sd1) => Some(Family::Sd1),
        Some(RandomModel::Sd2) => Some(Family::Sd2),
        Some(RandomModel::Model) => None,
    };
    let configs: Rc<dyn Source> = match family {
        None => find::model(shared, out).await?,
        Some(_) if shared.model.is_some() => {
            return Err(Error::Usage("--random sd1 and sd2 are models of their own: leave --model out".to_owned()));
        }
        Some(family) => {
            let mut memory = Memory::new(format!("{family:?}").to_lowercase());
            for (path, bytes) in family_files(family)? {
                memory.insert(path, bytes);
            }
            Rc::new(memory)
        }
    };
    let random = with_random_weights(configs).await?;
    // Their hash would say nothing.
    let model = ModelId { name: random.name(), hash: None };
    Ok((Rc::new(random), model))
}

/// What a training step is made of, in seconds.
struct Split {
    text: f64,
    unet: f64,
    backward: f64,
    recomputed: bool,
}

impl Split {
    fn sum(&self) -> f64 {
        self.text + self.unet + self.backward
    }
}

impl Bench<'_> {
    fn pixels_per_latent(&self) -> usize {
        self.session.model().config.vae.pixels_per_latent()
    }

    /// The pieces of a training step, each waited for: the prompts, the U-Net, and back through both.
    async fn split(&self, batch: u32) -> Result<Split> {
        let model = self.session.model();
        let (config, side) = (&model.config, self.side as usize / self.pixels_per_latent());
        let settings = self.settings(batch);
        let recomputed = crate::train::recomputes(&settings, config);
        let mut tokenizer = self.session.tokenizers().clone();
        tokenizer.add_word(&settings.token, settings.vectors as usize)?;
        let prompts = vec![tokenizer.prompt(&format!("a photo of a {}", settings.token)); batch as usize];
        let shape = [batch as usize, side, side, config.vae.latent_channels];
        let (sample, target) = (self.random(shape), self.random(shape));
        let times = vec![400.0; batch as usize];
        let [mut text, mut unet, mut back] = [0, 1, 2].map(|_| Clock::new(self.args));
        loop {
            let rows = Var::leaf(self.random([settings.vectors as usize, config.word_width()]));
            let begun = Instant::now();
            let context = model.encode_prompts(&prompts, &rows, recomputed);
            settle(context.value()).await?;
            let encoded = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let prediction = model.unet.forward(&sample, &times, &context, recomputed);
            settle(prediction.value()).await?;
            let predicted = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let loss = mse(&prediction, target.clone(), None);
            if let Some(gradient) = backward(&loss, Tensor::ones([1], &self.device)).take(&rows) {
                settle(&gradient).await?;
            }
            let returned = begun.elapsed().as_secs_f64();
            // The slowest piece decides when there are enough.
            text.full(encoded);
            unet.full(predicted);
            if back.full(returned) {
                break;
            }
        }
        let [text, unet, backward] = [text, unet, back].map(|clock| clock.figures(self).median());
        Ok(Split { text, unet, backward, recomputed })
    }

    async fn encode(&self) -> Result<Figures> {
        let encoder = self.session.model().encoder(&mut |_| ()).await?;
        let side = self.side as usize;
        let pixels = self.random([1, side, side, 3]).clamp(-1.0, 1.0);
        self.repeat(async || read(encoder.encode(&pixels).mean).await).await
    }

    async fn decode(&self) -> Result<Figures> {
        let model = self.session.model();
        let side = self.side as usize / model.config.vae.pixels_per_latent();
        let latents = self.random([1, side, side, model.config.vae.latent_channels]);
        let decoder = model.decoder(&mut |_| ()).await?;
        self.repeat(async || read(decoder.decode(&latents)).await).await
    }

    /// The U-Net on the empty and the full prompt, guidance, and a sampler's step.
    async fn denoise(&self) -> Result<Figures> {
        let steps = Clock::steps(self.args);
        let (width, height) = (Some(self.side), Some(self.side));
        let config = SampleConfig { guidance: 7.5, steps, width, height, ..SampleConfig::default() };
        let mut job = self.session.sample("a photo of a cat", &config)?;
        self.steps(async || job.next().await).await
    }

    /// Steps on cached latents: encode the prompt, predict, compare, back to one row, AdamW.
    async fn train(&self, batch: u32) -> Result<Figures> {
        let config = self.settings(batch);
        let pixels = RgbImage::from_fn(self.side, self.side, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let picture = Picture::new("a pattern", pixels);
        let input = TrainInput { pictures: vec![TrainPicture { picture, caption: None }], ..TrainInput::default() };
        let mut job = self.session.train(&config, input)?;
        self.steps(async || job.next().await).await
    }

    /// Settings of a run that does nothing but steps.
    fn settings(&self, batch: u32) -> TrainConfig {
        TrainConfig {
            token: "<bench>".to_owned(),
            steps: Clock::steps(self.args),
            batch_size: batch,
            checkpointing: self.args.checkpointing,
            resolution: Some(self.side),
            no_flip: true,
            eval_every: 0,
            eval_size: 1,
            preview_every: 0,
            save_every: 0,
            ..TrainConfig::default()
        }
    }

    /// The times of a job's steps, of either kind.
    async fn steps(&self, mut next: impl AsyncFnMut() -> Result<Option<Event>>) -> Result<Figures> {
        let mut clock = Clock::new(self.args);
        while let Some(event) = next().await? {
            if let Event::Denoise { secs, .. } | Event::Step { secs, .. } = event
                && clock.full(secs)
            {
                break;
            }
        }
        Ok(clock.figures(self))
    }

    /// Times some work that ends with values on the host.
    async fn repeat<R>(&self, work: impl AsyncFn() -> Result<R>) -> Result<Figures> {
        let mut clock = Clock::new(self.args);
        loop {
            let begun = Instant::now();
            work().await?;
            if clock.full(begun.elapsed().as_secs_f64()) {
                return Ok(clock.figures(self));
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
