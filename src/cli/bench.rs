//! `pseudoword bench`: measures, and prints what was measured.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};

use super::args::{BenchArgs, RandomModel, Shared};
use super::faults::{on_demand, panics};
use super::host;
use super::load::{self, ModelId};
use super::locate;
use super::outlook::Outlook;
use super::output::Output;
use super::predict;
use super::report::Report;
use super::wording;
use crate::base::bytes;
use crate::base::process::{load_average, peak_memory};
use crate::bench::{Bench, Effort, Figures, KernelTime, Peak, StepLaunches};
use crate::checkpoint::{Family, family_files, narrow_files};
use crate::config::{TrainConfig, option_name};
use crate::error::Kind;
use crate::gpu::memory::MemoryWatch;
use crate::gpu::{self, Chosen, DeviceChoice, Precision};
use crate::model::{Loading, ModelConfig, OpenedModel, with_random_weights};
use crate::ops::{HalfMethod, half_products_of, tiles, uses_kernels};
use crate::plan::{self, MemoryPlan};
use crate::sample::SOFTWARE;
use crate::source::{Memory, Source};
use crate::{Error, Result};

/// Load averages above this make figures worth little.
const BUSY: f64 = 0.5;

/// The kernels of a step that are printed.
const LONGEST: usize = 24;

/// The largest batch and side.
const MOST: u32 = 4096;

/// What was measured by now, whatever becomes of what measures it.
#[derive(Default)]
struct SoFar {
    object: Value,
    /// What is being done.
    doing: String,
}

impl SoFar {
    /// Some piece of work begins.
    fn begins(&mut self, what: impl Into<String>) {
        self.doing = what.into();
        on_demand::pass("piece");
    }
}

/// What is measured: people see each figure when it is there, programs get one object in the end.
struct Measured<'a> {
    bench: Bench,
    so_far: &'a mut SoFar,
    /// The most that the GPU's memory held, in bytes.
    gpu_peak: Option<u64>,
    out: &'a mut Output,
}

/// Measures a model.
pub(super) async fn run(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    check(args)?;
    if args.predict {
        return predict::run(args, shared, out).await;
    }
    if args.host {
        return host::run(args, shared, out).await;
    }
    let report = args.report.as_deref().map(|path| Report::new(path, args.overwrite)).transpose()?;
    let model = model(args, shared, out).await?;
    let mut so_far = SoFar::default();
    match report {
        None => measure(args, shared, model, &mut so_far, None, out).await,
        Some(mut report) => {
            let measured = measure(args, shared, model, &mut so_far, Some(&mut report), out);
            let ended = panics::caught_in(measured).await;
            reported(ended, report, &so_far, out)
        }
    }
}

/// Writes the report. Of all reports the one is wanted most that says what failed; only what is the user's to mend makes none.
fn reported(ended: Result<()>, mut report: Report, so_far: &SoFar, out: &mut Output) -> Result<()> {
    let Err(error) = ended else { return out.line(&report.write()?) };
    if !matches!(error.kind(), Kind::Usage | Kind::Input) {
        report.failed(&so_far.object, &so_far.doing, &error);
        let said = report.write().map(|line| format!("{line}; it has what was measured until this failed"));
        out.message(&said.unwrap_or_else(|unwritten| format!("there is no report: {}", wording::of_error(&unwritten))));
    }
    Err(error)
}

/// Measures a model, from its loading on.
async fn measure(
    args: &BenchArgs,
    shared: &Shared,
    (source, model): (Rc<dyn Source>, ModelId),
    so_far: &mut SoFar,
    mut report: Option<&mut Report>,
    out: &mut Output,
) -> Result<()> {
    let (load, begun) = (load_average(), Instant::now());
    so_far.begins("choosing a device");
    let chosen = gpu::choose(shared.device)?;
    out.event(&chosen.event())?;
    if let Some(report) = &mut report {
        report.device(&chosen);
    }
    so_far.begins("loading the model");
    let opened = OpenedModel::read(source).await?;
    let planned = planned(args);
    let outlook = Outlook::new(shared, &chosen, &planned);
    let (session, decision) = load::decided(&outlook, &opened, Loading::default(), out).await?;
    if let (Some(report), Some(decision)) = (&mut report, &decision) {
        report.precision(decision);
    }
    let load_seconds = begun.elapsed().as_secs_f64();
    let bench = Bench {
        device: chosen.device.clone(),
        side: args.resolution.unwrap_or_else(|| session.model().config.resolution()),
        checkpointing: args.checkpointing,
        effort: Effort { repetitions: args.steps, seconds: args.seconds },
        session,
        memory: gpu::started(&chosen).and_then(|started| MemoryWatch::new(&started)),
    };
    let mut measured = Measured::new(bench, &model, &chosen, so_far, out)?;
    measured.so_far.object["load_s"] = json!(load_seconds);
    measured.so_far.object["load_1m"] = json!(load);
    measured.pieces(&args.batch).await?;
    let batch = args.batch.iter().copied().min().unwrap_or(1);
    measured.launches(batch, args.ops || report.is_some()).await?;
    let peak = measured.split(batch).await?;
    if args.kernels || report.is_some() {
        measured.kernels(batch).await?;
    }
    if args.ops || report.is_some() {
        measured.operations(&peak).await?;
    }
    measured.end(load_seconds, load, report)
}

/// Refuses numbers that cannot be.
fn check(args: &BenchArgs) -> Result<()> {
    let refused = |text: &str| Err(Error::Usage(text.to_owned()));
    if args.steps == 0 {
        return refused("--steps 0: it must be at least 1");
    }
    if let Some(batch) = args.batch.iter().find(|batch| !(1..=MOST).contains(*batch)) {
        return refused(&format!("--batch {batch}: it must be from 1 to {MOST}"));
    }
    if let Some(side) = args.resolution.filter(|side| !(1..=MOST).contains(side)) {
        return refused(&format!("--resolution {side}: it must be from 1 to {MOST}"));
    }
    if !(args.seconds > 0.0 && args.seconds.is_finite()) {
        return refused(&format!("--seconds {}: it must be a number above 0", args.seconds));
    }
    Ok(())
}

/// Refuses what would have no effect beside an option that does not compute on a device. clap does not: where an option of every
/// command stands before the command, it does not see that the two conflict.
pub(super) fn no_device(shared: &Shared, beside: &str, reason: &str) -> Result<()> {
    left_out("--device", shared.device != DeviceChoice::default(), beside, reason)
}

/// The same of an option that has every precision.
pub(super) fn no_precision(shared: &Shared, beside: &str, reason: &str) -> Result<()> {
    left_out("--precision", shared.precision != Precision::default(), beside, reason)
}

/// Refuses an option that was given and would have no effect.
pub(super) fn left_out(option: &str, given: bool, beside: &str, reason: &str) -> Result<()> {
    if given {
        return Err(Error::Usage(format!("{option} cannot be used with {beside}, which {reason}: leave it out")));
    }
    Ok(())
}

/// What the largest batch, and denoising at the same size, need.
pub(super) fn planned(args: &BenchArgs) -> impl Fn(&ModelConfig, plan::WeightBytes, bool) -> Result<MemoryPlan> {
    let (resolution, batch) = (args.resolution, args.batch.iter().copied().max().unwrap_or(1));
    let batch_size = Some(batch);
    let config = TrainConfig { checkpointing: args.checkpointing, resolution, batch_size, ..TrainConfig::default() };
    move |model, weights, on_cpu| {
        crate::train::check_side(&config, model)?;
        let side = resolution.unwrap_or_else(|| model.resolution());
        let job = plan::Job { height: side, width: side, batch };
        let pictures = Some(plan::Job { batch: 2, ..job });
        Ok(MemoryPlan::training(model, weights, job, crate::train::recomputes(&config, model), pictures, on_cpu))
    }
}

/// Prints what a step launches, by kernel, too, if that is wanted, and keeps it in its place.
pub(super) fn launched(
    step: &StepLaunches,
    name: &str,
    place: &mut Value,
    by_kernel: bool,
    out: &mut Output,
) -> Result<()> {
    *place = step.to_json();
    out.line(&step.row(name))?;
    step.kernels().filter(|_| by_kernel).try_for_each(|row| out.line(&row))
}

/// What to say of figures that were measured under this load.
pub(super) fn busy(load: Option<f64>) -> Vec<String> {
    let words =
        |load: f64| format!("other programs were running (load average {load:.2}): these figures are worth little");
    load.filter(|load| *load > BUSY).map(words).into_iter().collect()
}

/// The model to measure: the given one, or one of its kind with random weights.
pub(super) async fn model(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<(Rc<dyn Source>, ModelId)> {
    let (name, files) = match args.random {
        None => {
            let source = locate::model(shared, out).await?;
            let model = ModelId::named(&*source);
            return Ok((source, model));
        }
        Some(RandomModel::Sd1) => ("sd1", family_files(Family::Sd1)?),
        Some(RandomModel::Sd1Narrow) => ("sd1-narrow", narrow_files()?),
        Some(RandomModel::Sd2) => ("sd2", family_files(Family::Sd2)?),
        Some(RandomModel::Sdxl) => ("sdxl", family_files(Family::Sdxl)?),
        Some(RandomModel::Model) => ("model", Vec::new()),
    };
    let configs: Rc<dyn Source> = match name {
        "model" => locate::model(shared, out).await?,
        _ if shared.model.is_some() => {
            let message = format!("--random {name} is a model of its own: leave --model out");
            return Err(Error::Usage(message));
        }
        _ => {
            let mut memory = Memory::new(name);
            for (path, bytes) in files {
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

impl<'a> Measured<'a> {
    /// Begins with what is measured, and where.
    fn new(bench: Bench, model: &ModelId, chosen: &Chosen, so_far: &'a mut SoFar, out: &'a mut Output) -> Result<Self> {
        let (side, tiles, half) = (bench.side, tiles(&chosen.device), half_products_of(&chosen.device));
        so_far.object = json!({
            "event": "bench", "engine": SOFTWARE, "model": model.name, "device": chosen.name, "kind": chosen.kind,
            "side": side, "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "weights": bench.session.model().unet.stored().name(), "unet_gflop": bench.unet_flops() / 1e9,
            "checkpointing": option_name(&bench.checkpointing),
            // As `doctor` says it.
            "precision": {"precision": if half.is_some() { "f16" } else { "f32" }, "way": half.map(HalfMethod::name)},
            "tiles": tiles.map(|tiles| tiles.names().into_iter().collect::<BTreeMap<_, _>>()),
        });
        out.line(&format!("{SOFTWARE}: {}, {}, {side} x {side} pixels", chosen.name, model.name))?;
        if let Some(tiles) = tiles {
            out.line(&format!("matrix products in tiles: {}", tiles.summary()))?;
        }
        let gpu = if bench.memory.is_some() { "  GPU memory" } else { "" };
        out.line(&format!("{:26}{:>10}{:>10}{:>10}   times{gpu}", "", "median", "min", "max"))?;
        Ok(Self { gpu_peak: bench.gpu_memory(), bench, so_far, out })
    }

    /// Keeps and prints the figures of what was being done.
    fn measured(&mut self, path: &[&str], figures: &Figures) -> Result<()> {
        let place = path.iter().fold(&mut self.so_far.object, |place, key| &mut place[*key]);
        *place = figures.to_json();
        self.gpu_peak = self.gpu_peak.max(figures.gpu());
        self.out.line(&figures.row(&self.so_far.doing))
    }

    /// The pieces of work that commands are made of.
    async fn pieces(&mut self, batches: &[u32]) -> Result<()> {
        self.so_far.begins("VAE encode");
        let figures = self.bench.encode().await?;
        self.measured(&["vae_encode_s"], &figures)?;
        self.so_far.begins("VAE decode");
        let figures = self.bench.decode().await?;
        self.measured(&["vae_decode_s"], &figures)?;
        self.so_far.begins("denoising step (guided)");
        let figures = self.bench.denoise().await?;
        self.measured(&["denoise_step_s"], &figures)?;
        let mut batches = batches.to_vec();
        batches.sort_unstable();
        batches.dedup();
        for batch in batches {
            self.so_far.begins(format!("training step, batch {batch}"));
            let figures = self.bench.train(batch).await?;
            self.measured(&["train_step_s", &batch.to_string()], &figures)?;
        }
        Ok(())
    }

    /// What steps launch on a GPU; by kernel, too, if that is wanted.
    async fn launches(&mut self, batch: u32, by_kernel: bool) -> Result<()> {
        if !uses_kernels(&self.bench.device) {
            return Ok(());
        }
        self.so_far.begins("counting launches");
        let (bench, launches, out) = (&self.bench, &mut self.so_far.object["launches"], &mut *self.out);
        let step = bench.denoising_launches().await?;
        launched(&step, "denoising step (guided)", &mut launches["denoise_step"], by_kernel, out)?;
        let step = bench.training_launches(batch).await?;
        launched(&step, &format!("training step, batch {batch}"), &mut launches["train_step"], by_kernel, out)
    }

    /// How long each kernel takes by the GPU's own clock.
    async fn kernels(&mut self, batch: u32) -> Result<()> {
        if !uses_kernels(&self.bench.device) {
            return self.out.line("--kernels has no effect: the processor has no kernels and no clock for them");
        }
        self.so_far.begins("taking the time of each kernel");
        let times = self.bench.denoising_kernels().await?;
        self.kernel_times("denoising step (guided)", "denoise_step", &times)?;
        let times = self.bench.training_kernels(batch).await?;
        self.kernel_times(&format!("training step, batch {batch}"), "train_step", &times)?;
        let [encoding, decoding] = self.bench.autoencoder_kernels().await?;
        self.kernel_times("VAE encode", "vae_encode", &encoding)?;
        self.kernel_times("VAE decode", "vae_decode", &decoding)
    }

    /// Keeps the times of all, and prints the longest.
    fn kernel_times(&mut self, name: &str, key: &str, times: &[KernelTime]) -> Result<()> {
        self.so_far.object["kernels"][key] = times.iter().map(KernelTime::to_json).collect();
        let all: f64 = times.iter().map(|time| time.seconds).sum();
        if times.is_empty() {
            return self.out.line(&format!("{name}: the device does not say how long its kernels take"));
        }
        self.out
            .line(&format!("{name}: our kernels take {:.2} ms, one by one, by the device's own clock", 1e3 * all))?;
        times.iter().take(LONGEST).try_for_each(|time| self.out.line(&time.row(all)))
    }

    /// What a training step is made of, compared with the device's measured peak, which is given.
    async fn split(&mut self, batch: u32) -> Result<Peak> {
        self.so_far.begins("what the device does at most");
        let peak = self.bench.peak().await?;
        self.so_far.object["peak_gflops"] = json!(peak.gflops);
        self.so_far.object["bandwidth_gb_s"] = json!(peak.gigabytes);
        self.out.line(&format!("this device at most: {:.1} GFLOP/s, {:.1} GB/s", peak.gflops, peak.gigabytes))?;
        self.so_far.begins(format!("the pieces of a training step, batch {batch}"));
        let split = self.bench.split(batch).await?;
        let whole = self.so_far.object["train_step_s"][batch.to_string()]["median"].as_f64().unwrap_or(f64::NAN);
        let rest = (whole - split.sum()).max(0.0);
        // Forward once, backward to the activations once more, and the forward pass again where blocks are recomputed.
        let passes = if split.recomputed { 3.0 } else { 2.0 };
        let flops = self.bench.unet_flops();
        let rate = |passes: f64, seconds: f64| passes * f64::from(batch) * flops / seconds / 1e9;
        let (forward_rate, step_rate) = (rate(1.0, split.unet), rate(passes, split.unet + split.backward));
        self.so_far.object["split_s"] = json!({
            "batch": batch, "text": split.text, "unet": split.unet, "backward": split.backward, "rest": rest,
            "recomputed": split.recomputed, "unet_gflops": forward_rate, "step_gflops": step_rate,
        });
        let [text, unet, back, rest] = [split.text, split.unet, split.backward, rest].map(|seconds| seconds * 1000.0);
        self.out.line(&format!(
            "of a training step, batch {batch}: text {text:.1} ms, U-Net {unet:.1} ms, backward {back:.1} ms, rest \
             (optimiser, noise, reading) {rest:.1} ms"
        ))?;
        self.out.line(&format!(
            "U-Net forward {forward_rate:.1} GFLOP/s ({:.0} % of the most), forward and backward {step_rate:.1} ({:.0} %)",
            100.0 * forward_rate / peak.gflops,
            100.0 * step_rate / peak.gflops
        ))?;
        Ok(peak)
    }

    /// The U-Net's operations one by one.
    async fn operations(&mut self, peak: &Peak) -> Result<()> {
        self.out.line(&format!(
            "{:36}{:>8}{:>13}{:>11}",
            "operations of the U-Net, batch 1", "count", "forward", "backward"
        ))?;
        let mut objects = Vec::new();
        for op in self.bench.operations() {
            self.so_far.begins(op.name.trim());
            let (row, object) = self.bench.operation(&op, peak).await?;
            objects.push(object);
            self.so_far.object["ops"] = json!(objects);
            self.out.line(&row)?;
        }
        Ok(())
    }

    /// Ends with what belongs to all figures.
    fn end(self, load_seconds: f64, load: Option<f64>, report: Option<&mut Report>) -> Result<()> {
        let (peak, gpu) = (peak_memory(), self.gpu_peak);
        self.so_far.object["peak_rss_mb"] = json!(peak);
        self.so_far.object["peak_gpu_mb"] = json!(gpu.map(bytes::megabytes));
        let peak = bytes::measured(peak);
        let gpu = gpu.map_or_else(String::new, |gpu| format!(" of the process, {} of the GPU", bytes::size(gpu)));
        let mut lines = vec![format!("loading the model {load_seconds:.2} s"), format!("peak memory {peak}{gpu}")];
        lines.extend(busy(load));
        if let Some(report) = report {
            lines.extend(report.compare(&self.bench, &self.so_far.object));
        }
        self.so_far.begins("printing");
        self.out.result(&lines, &self.so_far.object)
    }
}
