//! How much memory a job will need, said before anything is loaded.
//!
//! From the configuration, the headers of the weight files, the size of the pictures and the batch follow the weights' bytes
//! and, by walking through the networks as they compute ([`walk`]), the bytes that live at the worst moment of each phase.
//! Phases do not overlap, so the need is the weights and the largest of them. Held against what there is ([`Machine`]) it
//! becomes a word of advice, or a refusal where the job cannot end well.

mod machine;
mod walk;

use crate::base::bytes::size;
use crate::event::Part;
use crate::model::{ModelConfig, PARTS};
use crate::setting::{Advice, Setting, advised};
use crate::source::Source;
use crate::vae::tiling::TILE;
use crate::weights::{Header, Storage, files, stored_bytes};
use crate::{Error, Result};
pub use machine::Machine;
use walk::Walk;

/// What the program itself takes: code, tokenizer, tables.
const PROGRAM: u64 = 64 << 20;
/// One in so many bytes of a GPU's pages stays empty: they are of the size of the largest weight, and are not filled to the end.
const EMPTY: u64 = 8;
/// The share of what is free that a job should leave alone.
const SPARE: f64 = 0.05;
/// How far below the estimate a need can be: what is still too much then is refused.
const UNSURE: f64 = 0.8;

/// Bytes of the weights of each part as they will be kept, and of the largest single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightBytes {
    /// The text encoder, the token table included.
    pub text: u64,
    /// The U-Net.
    pub unet: u64,
    /// The encoder half of the autoencoder.
    pub encoder: u64,
    /// The decoder half.
    pub decoder: u64,
    /// The largest weight.
    pub largest: u64,
    /// Whether any is kept in half precision, and widened for the moment of its use.
    pub half: bool,
}

impl WeightBytes {
    /// Adds up what the headers of a model's files say.
    ///
    /// # Errors
    /// As for [`crate::weights::Weights::open`].
    pub async fn read(source: &dyn Source, storage: Storage) -> Result<Self> {
        let mut sum = Self::default();
        for part in PARTS {
            for path in files::expect(source, part).await? {
                let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
                for entry in header.tensors() {
                    let (bytes, half) = stored_bytes(entry, storage);
                    sum.half |= half;
                    sum.largest = sum.largest.max(bytes);
                    *match part {
                        Part::Unet => &mut sum.unet,
                        Part::Vae if entry.name.starts_with("encoder.") || entry.name.starts_with("quant_conv") => {
                            &mut sum.encoder
                        }
                        Part::Vae => &mut sum.decoder,
                        Part::TextEncoder | Part::Tokenizer => &mut sum.text,
                    } += bytes;
                }
            }
        }
        Ok(sum)
    }

    /// The least that the weights can come to, judged by nothing but the lengths of their files: before they are fetched.
    ///
    /// A file that does not say that it is in half precision may be all the same, so what comes out is a lower bound.
    pub fn at_least(files: &[FileLength], storage: Storage) -> Self {
        let mut sum = Self::default();
        for file in files {
            let bytes = match storage {
                Storage::AsFile => file.bytes,
                Storage::F16 if file.half => file.bytes,
                Storage::F16 => file.bytes / 2,
                Storage::F32 if file.half => file.bytes * 2,
                Storage::F32 => file.bytes,
            };
            sum.half |= storage == Storage::F16 || (storage == Storage::AsFile && file.half);
            match file.part {
                Part::Unet => sum.unet += bytes,
                // Stable Diffusion's: 34 of 84 million parameters.
                Part::Vae => {
                    sum.encoder += bytes / 5 * 2;
                    sum.decoder += bytes / 5 * 3;
                }
                Part::TextEncoder | Part::Tokenizer => sum.text += bytes,
            }
        }
        sum
    }

    /// What stays for as long as the model is used for the job.
    pub fn resident(&self) -> u64 {
        self.text + self.unet + self.decoder
    }
}

/// A file with weights that is not here yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLength {
    /// What it is a part of.
    pub part: Part,
    /// Its length.
    pub bytes: u64,
    /// Whether its name says that it is in half precision.
    pub half: bool,
}

/// A phase of a job, and what it needs besides the resident weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What it is, as a person would call it.
    pub name: &'static str,
    /// Bytes.
    pub bytes: u64,
}

/// What a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The weights, as far as the job loads them.
    pub weights: WeightBytes,
    /// What happens, one after the other.
    pub phases: Vec<Phase>,
    /// The largest single tensor.
    pub largest: u64,
    /// Bytes that the program takes anyway.
    program: u64,
    /// Bytes of a GPU's pages that stay empty.
    empty: u64,
}

/// Sizes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
    /// Samples that go through the U-Net together; with guidance twice the pictures.
    pub batch: u32,
}

impl Job {
    /// A picture of the model's own size, with guidance.
    pub fn preview(config: &ModelConfig) -> Self {
        Self { height: config.resolution(), width: config.resolution(), batch: 2 }
    }
}

impl Plan {
    /// What making pictures needs.
    pub fn generating(config: &ModelConfig, weights: WeightBytes, job: Job, on_cpu: bool) -> Self {
        let walk = Walk::new(config, weights.half, on_cpu);
        let unet = walk.unet(job);
        let decode = walk.decode(tiled(config, job));
        let phases = vec![
            Phase { name: "denoising", bytes: unet.forward },
            Phase { name: "decoding a picture", bytes: decode.forward },
        ];
        Self::of(weights, phases, unet.largest.max(decode.largest), on_cpu)
    }

    /// What learning a word needs; `recompute` as in training, `previews` the job of pictures that are made on the way.
    pub fn training(
        config: &ModelConfig,
        weights: WeightBytes,
        job: Job,
        recompute: bool,
        previews: Option<Job>,
        on_cpu: bool,
    ) -> Self {
        let walk = Walk::new(config, weights.half, on_cpu);
        let unet = walk.unet(job);
        let encode = walk.encode(tiled(config, Job { batch: 1, ..job }));
        let step = if recompute { unet.recomputed } else { unet.remembered };
        let mut phases = vec![
            Phase { name: "encoding pictures", bytes: weights.encoder + encode.forward },
            Phase { name: "a training step", bytes: step },
        ];
        let mut largest = unet.largest.max(encode.largest);
        if let Some(pictures) = previews {
            let made = Self::generating(config, weights, pictures, on_cpu);
            largest = largest.max(made.largest);
            let bytes = made.phases.iter().map(|phase| phase.bytes).max().unwrap_or(0);
            phases.push(Phase { name: "a preview", bytes });
        }
        // Without previews the decoder is not loaded.
        let weights = if previews.is_some() { weights } else { WeightBytes { decoder: 0, ..weights } };
        Self::of(weights, phases, largest, on_cpu)
    }

    fn of(weights: WeightBytes, phases: Vec<Phase>, largest: u64, on_cpu: bool) -> Self {
        let empty = if on_cpu { 0 } else { weights.resident() / EMPTY };
        Self { weights, phases, largest: weights.largest.max(largest), program: PROGRAM, empty }
    }

    /// The phase that needs most.
    pub fn worst(&self) -> Phase {
        self.phases.iter().copied().max_by_key(|phase| phase.bytes).unwrap_or(Phase { name: "nothing", bytes: 0 })
    }

    /// Bytes at the worst moment of all.
    pub fn peak(&self) -> u64 {
        self.program + self.weights.resident() + self.empty + self.worst().bytes
    }

    /// The plan in a sentence.
    pub fn sentence(&self) -> String {
        let worst = self.worst();
        format!(
            "about {} of memory: {} of weights, {} for {}",
            size(self.peak()),
            size(self.weights.resident() + self.empty),
            size(worst.bytes),
            worst.name
        )
    }

    /// Holds the need against what there is. A sentence where it will be tight; nothing where it will not, or where it is not
    /// known.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`] if it cannot do, with what to change.
    pub fn check(&self, machine: &Machine) -> Result<Option<String>> {
        let advice = self.advice();
        if let Some(limit) = machine.largest_buffer.filter(|limit| *limit < self.largest) {
            return Err(Error::TooLittleMemory {
                need: format!("a single buffer of {}", size(self.largest)),
                have: format!("the GPU takes buffers of up to {} only", size(limit)),
                advice,
            });
        }
        let Some(free) = machine.free else { return Ok(None) };
        if self.peak() as f64 * UNSURE > free as f64 {
            return Err(Error::TooLittleMemory {
                need: self.sentence(),
                have: format!("only {} are free", size(free)),
                advice,
            });
        }
        let tight = self.peak() as f64 > free as f64 * (1.0 - SPARE);
        let advice = advised(&advice, None);
        Ok(tight.then(|| format!("this needs {}; {} are free: {advice}", self.sentence(), size(free))))
    }

    /// What makes the need smaller.
    fn advice(&self) -> Vec<Advice> {
        use Setting::{BatchSize, Checkpointing, Height, PreviewEvery, Resolution, Weights, Width};
        let mut advice = match self.worst().name {
            "a training step" => {
                vec![Advice::Smaller(BatchSize), Advice::Set(Checkpointing, "on"), Advice::Smaller(Resolution)]
            }
            "encoding pictures" => vec![Advice::Smaller(Resolution)],
            "a preview" => vec![Advice::Set(PreviewEvery, "0")],
            _ => vec![Advice::Smaller(Width), Advice::Smaller(Height), Advice::Smaller(BatchSize)],
        };
        if !self.weights.half {
            advice.push(Advice::Set(Weights, "f16"));
        }
        advice.push(Advice::CloseOtherPrograms);
        advice
    }
}

/// The part of a picture that the autoencoder sees at a time.
fn tiled(config: &ModelConfig, job: Job) -> Job {
    let most = (TILE * config.vae.pixels_per_latent()) as u32;
    Job { height: job.height.min(most), width: job.width.min(most), batch: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(half: bool, batch: u32) -> Plan {
        let source = crate::source::Folder::new("models/mini");
        let config = pollster::block_on(ModelConfig::read(&source)).unwrap();
        let storage = if half { Storage::AsFile } else { Storage::F32 };
        let weights = pollster::block_on(WeightBytes::read(&source, storage)).unwrap();
        Plan::training(&config, weights, Job { height: 64, width: 64, batch }, false, Some(Job::preview(&config)), true)
    }

    #[test]
    fn weights_are_counted_as_they_will_be_kept() {
        let (half, wide) = (plan(true, 1).weights, plan(false, 1).weights);
        assert!(half.half && !wide.half);
        assert_eq!(2 * half.unet, wide.unet);
        assert_eq!(2 * half.resident(), wide.resident());
        assert!(half.encoder > 0 && half.decoder > half.encoder);
    }

    #[test]
    fn what_is_judged_by_lengths_alone_is_no_more_than_what_the_headers_say() {
        let source = crate::source::Folder::new("models/mini");
        let length = |part| {
            let path = pollster::block_on(files::expect(&source, part)).unwrap().remove(0);
            let bytes = pollster::block_on(source.length(&path)).unwrap().unwrap();
            // Nearly all of it is in f16, without a word of that in its name.
            FileLength { part, bytes, half: false }
        };
        let lengths = PARTS.map(length);
        for storage in [Storage::AsFile, Storage::F16, Storage::F32] {
            let (least, known) = (
                WeightBytes::at_least(&lengths, storage),
                pollster::block_on(WeightBytes::read(&source, storage)).unwrap(),
            );
            assert!(least.unet <= known.unet + known.unet / 50, "{storage:?}: {least:?} {known:?}");
            assert!(2 * least.resident() + (1 << 20) >= known.resident() / 2, "{storage:?}: {least:?} {known:?}");
        }
        let said = lengths.map(|file| FileLength { half: true, ..file });
        let [half, wide] = [Storage::F16, Storage::F32].map(|storage| WeightBytes::at_least(&said, storage));
        assert_eq!((half.unet, 2 * half.unet), (lengths[1].bytes, wide.unet));
        assert!(half.half && !wide.half);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_advice_and_what_is_tight_is_said() {
        let plan = plan(false, 64);
        let free = |free: u64| Machine { free: Some(free), largest_buffer: None };
        assert_eq!(plan.check(&Machine::default()).unwrap(), None);
        assert_eq!(plan.check(&free(4 * plan.peak())).unwrap(), None);
        let said = plan.check(&free(plan.peak())).unwrap().unwrap();
        assert!(said.contains("smaller `batch-size`") && said.contains("`weights` f16"), "{said}");
        let error = plan.check(&free(plan.peak() / 2)).unwrap_err();
        assert!(
            matches!(error, Error::TooLittleMemory { .. }) && error.kind() == crate::error::Kind::Memory,
            "{error}"
        );
        assert!(error.to_string().contains("`checkpointing` on"), "{error}");
        let buffers = Machine { free: None, largest_buffer: Some(plan.largest - 1) };
        assert!(plan.check(&buffers).unwrap_err().to_string().contains("a single buffer"));
        assert_eq!(plan.check(&Machine { free: None, largest_buffer: Some(plan.largest) }).unwrap(), None);
    }

    /// Peaks of the process in runs at full size on the processor with two threads, without previews (random weights in
    /// f16, `benches/peer/random_model.py --full`): side, samples, blocks computed again, megabytes.
    const MEASURED: [(u32, u32, bool, f64); 2] = [(256, 4, true, 2358.0), (64, 1, true, 2165.0)];

    #[test]
    fn what_was_measured_at_full_size_is_predicted() {
        let mut memory = crate::source::Memory::new("sd1");
        for (path, bytes) in crate::checkpoint::family_files(crate::checkpoint::Family::Sd1).unwrap() {
            memory.insert(path, bytes);
        }
        let config = pollster::block_on(ModelConfig::read(&memory)).unwrap();
        let random = pollster::block_on(crate::model::with_random_weights(std::rc::Rc::new(memory))).unwrap();
        let weights = pollster::block_on(WeightBytes::read(&random, Storage::AsFile)).unwrap();
        for (side, batch, recompute, measured) in MEASURED {
            let job = Job { height: side, width: side, batch };
            let plan = |previews: bool, on_cpu| {
                let pictures = previews.then(|| Job::preview(&config));
                Plan::training(&config, weights, job, recompute, pictures, on_cpu)
            };
            let off = plan(false, true).peak() as f64 / 1e6 / measured - 1.0;
            assert!(off.abs() < 0.1, "{side} pixels, {batch} samples, {recompute}: off by {:.1} %", 100.0 * off);
            // The decoder is there for previews alone, and a GPU's pages are not full.
            let with = plan(true, true).weights;
            assert_eq!(with.resident() - plan(false, true).weights.resident(), weights.decoder);
            assert!(plan(false, false).empty > plan(false, true).empty);
        }
    }

    #[test]
    fn more_samples_need_more_and_recomputing_needs_less() {
        assert!(plan(true, 64).phases[1].bytes > 4 * plan(true, 8).phases[1].bytes);
        let source = crate::source::Folder::new("models/mini");
        let config = pollster::block_on(ModelConfig::read(&source)).unwrap();
        let job = Job { height: 64, width: 64, batch: 16 };
        let [remembered, recomputed] = [false, true]
            .map(|recompute| Plan::training(&config, WeightBytes::default(), job, recompute, None, true).worst().bytes);
        assert!(recomputed * 3 < remembered * 2, "{recomputed} {remembered}");
    }
}
