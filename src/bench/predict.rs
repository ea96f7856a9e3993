//! How long steps take at a device's peak: what to hold measurements against.
//!
//! No program reaches the peak of every part: a third of it is good for kernels that are not written for one device. What
//! shows is the part that is much further off than the others.

use serde_json::{Value, json};

use super::known::Rates;
use super::work::{Op, Part, autoencoder, back, text, unet, unet_for_known_prompts};
use crate::Result;
use crate::checkpoint::{Family, family_files};
use crate::config::{Checkpointing, TrainConfig};
use crate::model::ModelConfig;
use crate::source::Memory;

/// Operations of a step that are looked at together.
pub struct Row {
    /// What they are.
    pub name: &'static str,
    ops: Vec<Op>,
}

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// In f32.
    F32,
    /// With factors in f16, where the engine can: attention only with matrix units, the autoencoder never.
    F16,
}

impl Row {
    /// Billions of multiplications and additions.
    pub fn gflop(&self) -> f64 {
        self.ops.iter().map(|op| op.flops).sum::<f64>() / 1e9
    }

    /// Billions of bytes, with products in f32.
    pub fn gigabytes(&self) -> f64 {
        self.ops.iter().map(|op| op.bytes).sum::<f64>() / 1e9
    }

    /// Launches, if each operation is one.
    pub fn launches(&self) -> usize {
        self.ops.len()
    }

    /// The least time on a device.
    pub fn seconds(&self, rates: &Rates, products: Products) -> f64 {
        self.ops.iter().map(|op| seconds(op, rates, products)).sum()
    }
}

/// The least time of an operation: that of its arithmetic or that of its bytes.
pub fn seconds(op: &Op, rates: &Rates, products: Products) -> f64 {
    let halves = products == Products::F16 && op.halves && (rates.matrices || !op.needs_matrices());
    let gflops = if halves { rates.f16_gflops } else { rates.f32_gflops };
    (op.flops / gflops).max(op.bytes / rates.gigabytes) / 1e9
}

/// A piece of work that `bench` measures.
pub struct Step {
    /// What it is.
    pub name: String,
    /// Its parts.
    pub rows: Vec<Row>,
}

impl Step {
    /// All of it.
    pub fn whole(&self) -> Row {
        Row { name: "all", ops: self.rows.iter().flat_map(|row| row.ops.iter().copied()).collect() }
    }

    /// For programs; times by device.
    pub fn to_json(&self, gpus: &[(&str, Rates)]) -> Value {
        let row = |row: &Row| {
            let times = gpus.iter().map(|(name, rates)| {
                let [f32, f16] = [Products::F32, Products::F16].map(|products| row.seconds(rates, products));
                ((*name).to_owned(), json!({"f32": f32, "f16": f16}))
            });
            json!({
                "part": row.name, "gflop": row.gflop(), "gigabytes": row.gigabytes(), "launches": row.launches(),
                "seconds": times.collect::<serde_json::Map<_, _>>(),
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({"step": self.name, "parts": rows, "all": row(&self.whole())})
    }
}

/// What is made with a model at a size: training steps of these batches, a denoising step, both halves of the autoencoder.
pub fn steps(config: &ModelConfig, side: u32, batches: &[u32], checkpointing: Checkpointing) -> Vec<Step> {
    let latents = side as usize / config.vae.pixels_per_latent();
    let one = |name: &str, ops: Vec<Op>| Step { name: name.to_owned(), rows: by_part(&ops) };
    let mut steps: Vec<Step> = batches.iter().map(|batch| training_step(config, side, *batch, checkpointing)).collect();
    steps.extend([
        one("a denoising step with guidance", unet_for_known_prompts(config, latents, 2)),
        one("encoding a picture", autoencoder(config, latents, false)),
        one("decoding a picture", autoencoder(config, latents, true)),
    ]);
    steps
}

fn training_step(config: &ModelConfig, side: u32, batch: u32, checkpointing: Checkpointing) -> Step {
    let settings =
        TrainConfig { checkpointing, resolution: Some(side), batch_size: Some(batch), ..TrainConfig::default() };
    let recomputes = crate::train::recomputes(&settings, config);
    let latents = side as usize / config.vae.pixels_per_latent();
    let both_ways = |forward: Vec<Op>| {
        let again = if recomputes { forward.clone() } else { Vec::new() };
        [back(&forward), forward, again].concat()
    };
    let mut rows = by_part(&both_ways(unet(config, latents, batch as usize)));
    rows.push(Row { name: "text encoder", ops: both_ways(text(config, batch as usize)) });
    let samples = if batch == 1 { "1 sample".to_owned() } else { format!("{batch} samples") };
    let again = if recomputes { ", recomputing" } else { "" };
    Step { name: format!("a training step of {samples}{again}"), rows }
}

/// The pieces of a training step that are measured apart: the prompts, the U-Net, and all that goes back.
pub fn pieces(config: &ModelConfig, side: u32, batch: u32, recomputed: bool) -> [Row; 3] {
    let latents = side as usize / config.vae.pixels_per_latent();
    let (text, unet) = (text(config, batch as usize), unet(config, latents, batch as usize));
    let mut backward = [back(&text), back(&unet)].concat();
    if recomputed {
        backward.extend(text.iter().chain(&unet));
    }
    [("text", text), ("unet", unet), ("backward", backward)].map(|(name, ops)| Row { name, ops })
}

fn by_part(ops: &[Op]) -> Vec<Row> {
    let of = |part: Part| ops.iter().filter(|op| op.part == part).copied().collect();
    Part::ALL.map(|part| Row { name: part.name(), ops: of(part) }).into()
}

/// The sizes of a family.
///
/// # Errors
/// [`crate::Error::ModelPartMissing`] for a family whose sizes are not known.
pub fn sizes(family: Family) -> Result<ModelConfig> {
    let mut memory = Memory::new(family.label());
    for (path, bytes) in family_files(family)? {
        memory.insert(path, bytes);
    }
    pollster::block_on(ModelConfig::read(&memory))
}
