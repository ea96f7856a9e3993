//! How much memory a job will need, worked out before anything is loaded.
//!
//! From the configuration, the headers of the weight files, the size of the pictures and the batch follow the weights'
//! bytes and, by walking through the networks as they compute ([`walk`]), the bytes that live at the worst moment of
//! each phase. Phases do not overlap, so the need is the weights and the largest of them. On a GPU that is what its memory
//! holds, and what the program has of the processor's memory is counted apart. Compared with what there is ([`Machine`]),
//! it becomes advice, or a refusal where the job cannot succeed.

mod machine;
mod walk;

use serde::Serialize;

use crate::base::bytes::size;
use crate::model::ModelConfig;
use crate::setting::{Advice, Setting, advised};
use crate::vae::Budget;
use crate::vae::tiling::TILE;
use crate::weights::Stored;
pub use crate::weights::WeightBytes;
use crate::{Error, Result};
pub use machine::Machine;
use walk::{Needs, Walk};

/// What the program itself takes: code, tokenizer.
const PROGRAM: u64 = 64 << 20;
/// The same where a GPU computes: the driver with its compiler, and weights on their way, too. Measured with software GPUs,
/// whose compilers are large.
const PROGRAM_BESIDE_GPU: u64 = 256 << 20;
/// A GPU's weights lie in buffers of their own length; of the buffers and blocks that small ones share, one byte in this many of
/// all stays empty.
const EMPTY_BLOCKS: u64 = 128;
/// Values of up to 64 kB lie in pages of their own, small ones keep their places (`ops/wgsl/spare.rs`), and pages of lengths that are not
/// wanted any more stay while something is left in them, or the driver has not taken them back yet.
pub const OTHER_PAGES: u64 = 16 << 20;
/// Values that come and go lie in pages, of which one byte in this many stays empty.
const EMPTY_PAGES: u64 = 8;
/// The share of what is free that a job should leave alone.
const SPARE: f64 = 0.05;
/// The true need can be this share of the estimate: what is too much even then is refused.
const UNSURE: f64 = 0.8;

/// What a job does for a while. Phases follow each other and do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The pictures that are trained on become latents.
    Encoding,
    /// A step of training.
    Step,
    /// A picture is made during training.
    Preview,
    /// Noise becomes latents.
    Denoising,
    /// Latents become a picture.
    Decoding,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Encoding => "encoding pictures",
            Phase::Step => "a training step",
            Phase::Preview => "a preview",
            Phase::Denoising => "denoising",
            Phase::Decoding => "decoding a picture",
        })
    }
}

/// What a phase needs besides the resident weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseNeed {
    /// Which phase.
    pub phase: Phase,
    /// Bytes.
    pub bytes: u64,
}

/// What a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The weights, as far as the job loads them.
    pub weights: WeightBytes,
    /// What happens, one after the other.
    pub phases: Vec<PhaseNeed>,
    /// The largest single tensor.
    pub largest: u64,
    /// Samples that go through the U-Net together.
    samples: u32,
    /// Bytes of the processor's memory that the program takes wherever it computes.
    program: u64,
    /// Bytes of a GPU's memory that stay empty, but for those in pages of large values.
    empty: u64,
    on_cpu: bool,
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
        let [height, width] = config.picture_size();
        Self { height, width, batch: 2 }
    }
}

impl MemoryPlan {
    /// What making pictures needs.
    pub fn generating(config: &ModelConfig, weights: WeightBytes, job: Job, on_cpu: bool) -> Self {
        let walk = Walk::new(config, on_cpu);
        let unet = walk.unet(job, false);
        let decode = walk.decode(tiled(config, job), &Budget::default());
        let phases = vec![
            PhaseNeed { phase: Phase::Denoising, bytes: paged(&unet, on_cpu) },
            PhaseNeed { phase: Phase::Decoding, bytes: paged(&decode, on_cpu) },
        ];
        Self::of(weights, phases, unet.largest.max(decode.largest), job, on_cpu)
    }

    /// With prompts of so many stretches instead of one: what the U-Net knows of them stays while pictures are made.
    pub fn with_stretches(mut self, config: &ModelConfig, job: Job, stretches: usize) -> Self {
        let more = stretches.saturating_sub(1) as u64 * Walk::new(config, self.on_cpu).stretch(job);
        let bytes = if self.on_cpu { more } else { more + more / EMPTY_PAGES };
        let denoising = self.phases.iter_mut().filter(|need| need.phase == Phase::Denoising);
        denoising.for_each(|need| need.bytes += bytes);
        self
    }

    /// What training needs; `recompute` as in training, `previews` the job of the pictures made during it.
    pub fn training(
        config: &ModelConfig,
        weights: WeightBytes,
        job: Job,
        recompute: bool,
        previews: Option<Job>,
        on_cpu: bool,
    ) -> Self {
        let walk = Walk::new(config, on_cpu);
        let unet = walk.unet(job, recompute);
        let encode = walk.encode(tiled(config, job), &Budget::default());
        let step = Needs { forward: if recompute { unet.recomputed } else { unet.remembered }, ..unet };
        let encoding = weights.encoder + paged(&encode, on_cpu);
        let mut phases = vec![
            PhaseNeed { phase: Phase::Encoding, bytes: encoding },
            PhaseNeed { phase: Phase::Step, bytes: paged(&step, on_cpu) },
        ];
        let mut largest = unet.largest.max(encode.largest);
        if let Some(pictures) = previews {
            let made = Self::generating(config, weights, pictures, on_cpu);
            largest = largest.max(made.largest);
            let bytes = made.phases.iter().map(|phase| phase.bytes).max().unwrap_or(0);
            phases.push(PhaseNeed { phase: Phase::Preview, bytes });
        }
        // Without previews the decoder is not loaded.
        let weights = if previews.is_some() { weights } else { WeightBytes { decoder: 0, ..weights } };
        Self::of(weights, phases, largest, job, on_cpu)
    }

    /// With a prompt of so many stretches for the pictures that are made during training.
    pub fn with_preview_stretches(mut self, config: &ModelConfig, stretches: usize) -> Self {
        let job = Job::preview(config);
        let made = Self::generating(config, self.weights, job, self.on_cpu).with_stretches(config, job, stretches);
        let most = made.phases.iter().map(|phase| phase.bytes).max().unwrap_or(0);
        self.phases.iter_mut().filter(|need| need.phase == Phase::Preview).for_each(|need| need.bytes = most);
        self
    }

    fn of(weights: WeightBytes, phases: Vec<PhaseNeed>, largest: u64, job: Job, on_cpu: bool) -> Self {
        let empty = if on_cpu { 0 } else { weights.resident() / EMPTY_BLOCKS + OTHER_PAGES };
        let program = weights.tables + if on_cpu { PROGRAM } else { PROGRAM_BESIDE_GPU };
        let largest = weights.largest.max(largest);
        Self { weights, phases, largest, samples: job.batch, program, empty, on_cpu }
    }

    /// The phase that needs most; every job has one.
    ///
    /// # Panics
    /// If there is none.
    pub fn worst(&self) -> PhaseNeed {
        self.phases.iter().copied().max_by_key(|need| need.bytes).expect("a job has phases")
    }

    /// Bytes on the device in a phase.
    pub fn during(&self, phase: PhaseNeed) -> u64 {
        self.weights.resident() + self.empty + phase.bytes
    }

    /// Bytes at the worst moment of all, of a GPU's memory where one computes.
    pub fn peak(&self) -> u64 {
        self.during(self.worst()) + if self.on_cpu { self.program } else { 0 }
    }

    /// Bytes of the processor's memory where a GPU computes.
    pub fn beside(&self) -> u64 {
        if self.on_cpu { 0 } else { self.program }
    }

    /// The plan in a sentence.
    pub fn sentence(&self) -> String {
        let worst = self.worst();
        let (whose, tables, beside) = if self.on_cpu {
            ("memory", self.weights.tables, String::new())
        } else {
            ("the GPU's memory", 0, format!("; and {} of the processor's", size(self.beside())))
        };
        format!(
            "about {} of {whose}: {} of weights, {} for {}{beside}",
            size(self.peak()),
            size(self.weights.resident() + tables + self.empty),
            size(worst.bytes),
            worst.phase,
        )
    }

    /// Compares the need with what there is. A sentence if it will be tight; nothing if it will not, or if that is not
    /// known.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`] if it cannot work, with what to change.
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
        // A GPU whose free memory is known has that of the processor, where the program is, too.
        let all = (self.peak() + self.beside()) as f64;
        if all * UNSURE > free as f64 {
            return Err(Error::TooLittleMemory {
                need: self.sentence(),
                have: format!("only {} are free", size(free)),
                advice,
            });
        }
        let tight = all > free as f64 * (1.0 - SPARE);
        let advice = advised(&advice, None);
        Ok(tight.then(|| format!("this needs {}; {} are free: {advice}", self.sentence(), size(free))))
    }

    /// What makes the need smaller.
    fn advice(&self) -> Vec<Advice> {
        use Setting::{BatchSize, Checkpointing, Height, PreviewEvery, Resolution, Weights, Width};
        let mut advice = match self.worst().phase {
            Phase::Step => {
                let fewer = (self.samples > 1).then_some(Advice::Smaller(BatchSize));
                let others = [Advice::Set(Checkpointing, "on"), Advice::Smaller(Resolution)];
                fewer.into_iter().chain(others).collect()
            }
            Phase::Encoding => vec![Advice::Smaller(Resolution)],
            Phase::Preview => vec![Advice::Set(PreviewEvery, "0")],
            Phase::Denoising | Phase::Decoding => {
                vec![Advice::Smaller(Width), Advice::Smaller(Height), Advice::Smaller(BatchSize)]
            }
        };
        match self.weights.narrowest {
            Stored::F32 => advice.push(Advice::Set(Weights, Stored::F16.name())),
            Stored::F16 => advice.push(Advice::Set(Weights, Stored::Q8.name())),
            Stored::Q8 => {}
        }
        advice.push(Advice::CloseOtherPrograms);
        advice
    }
}

/// Values with the empty ends of the pages that they lie in, but for those of buffers of their own.
fn paged(needs: &Needs, on_cpu: bool) -> u64 {
    let Needs { forward, lasting, .. } = *needs;
    if on_cpu { forward } else { forward + (forward - lasting) / EMPTY_PAGES }
}

/// Bytes of a GPU's memory, weights and [`OTHER_PAGES`] aside, that encoding a picture and decoding one need where feature maps
/// are held within a budget.
pub fn autoencoder(config: &ModelConfig, job: Job, budget: &Budget) -> [u64; 2] {
    let walk = Walk::new(config, false);
    [walk.encode(job, budget), walk.decode(job, budget)].map(|needs| paged(&needs, false))
}

/// Bytes that a training step holds if no block is recomputed, weights aside. Whether to recompute is decided by this,
/// so it is the same on every device: with the kernels of a GPU.
pub fn remembered(config: &ModelConfig, job: Job) -> u64 {
    Walk::new(config, false).unet(job, false).remembered
}

/// The part of a picture that the autoencoder sees at a time.
fn tiled(config: &ModelConfig, job: Job) -> Job {
    let most = (TILE * config.vae.pixels_per_latent()) as u32;
    Job { height: job.height.min(most), width: job.width.min(most), batch: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Family;
    use crate::weights::Storage;

    fn plan(half: bool, batch: u32) -> MemoryPlan {
        let source = crate::source::Folder::new("tests/fixtures/mini-f16");
        let config = pollster::block_on(ModelConfig::read(&source)).unwrap();
        let storage = if half { Storage::AsFile } else { Storage::F32 };
        let weights = pollster::block_on(WeightBytes::read(&source, storage, &[])).unwrap();
        MemoryPlan::training(
            &config,
            weights,
            Job { height: 64, width: 64, batch },
            false,
            Some(Job::preview(&config)),
            true,
        )
    }

    #[test]
    fn what_does_not_fit_is_refused_with_advice_and_what_is_tight_is_said() {
        let plan = plan(false, 64);
        let free = |free: u64| Machine { free: Some(free), largest_buffer: None };
        assert_eq!(plan.check(&Machine::default()).unwrap(), None);
        assert_eq!(plan.check(&free(4 * plan.peak())).unwrap(), None);
        let said = plan.check(&free(plan.peak())).unwrap().unwrap();
        assert!(
            said.contains(&Advice::Smaller(Setting::BatchSize).to_string())
                && said.contains(&Advice::Set(Setting::Weights, "f16").to_string()),
            "{said}"
        );
        let error = plan.check(&free(plan.peak() / 2)).unwrap_err();
        assert!(
            matches!(error, Error::TooLittleMemory { .. }) && error.kind() == crate::error::Kind::Memory,
            "{error}"
        );
        assert!(error.to_string().contains(&Advice::Set(Setting::Checkpointing, "on").to_string()), "{error}");
        let buffers = Machine { free: None, largest_buffer: Some(plan.largest - 1) };
        assert!(plan.check(&buffers).unwrap_err().to_string().contains("a single buffer"));
        assert_eq!(plan.check(&Machine { free: None, largest_buffer: Some(plan.largest) }).unwrap(), None);
    }

    /// Peaks of the process in runs at full size on the processor with two threads, without previews (random weights in
    /// f16, `benches/peer/random_model.py --full` and `--sdxl`): how they were kept, side, samples, blocks recomputed,
    /// megabytes.
    const MEASURED: [(Family, Storage, u32, u32, bool, f64); 4] = [
        (Family::Sd1, Storage::AsFile, 256, 4, true, 2358.0),
        (Family::Sd1, Storage::AsFile, 64, 1, true, 2165.0),
        (Family::Sdxl, Storage::AsFile, 256, 1, true, 7212.0),
        (Family::Sd1, Storage::Q8, 256, 1, true, 1314.0),
    ];

    /// A family's sizes in half precision, and the bytes of its weights as they are kept.
    fn published(family: Family, storage: Storage) -> (ModelConfig, WeightBytes) {
        let mut memory = crate::source::Memory::new(family.label());
        for (path, bytes) in crate::checkpoint::family_files(family).unwrap() {
            memory.insert(path, bytes);
        }
        let config = pollster::block_on(ModelConfig::read(&memory)).unwrap();
        let random = pollster::block_on(crate::model::with_random_weights(std::rc::Rc::new(memory))).unwrap();
        let weights = pollster::block_on(WeightBytes::read(&random, storage, &config.left_in_files())).unwrap();
        (config, weights)
    }

    #[test]
    fn what_was_measured_at_full_size_is_predicted() {
        for (family, storage, side, batch, recompute, measured) in MEASURED {
            let (config, weights) = published(family, storage);
            let job = Job { height: side, width: side, batch };
            let plan = |previews: bool, on_cpu| {
                let pictures = previews.then(|| Job::preview(&config));
                MemoryPlan::training(&config, weights, job, recompute, pictures, on_cpu)
            };
            let off = plan(false, true).peak() as f64 / 1e6 / measured - 1.0;
            assert!(
                off.abs() < 0.1,
                "{family:?}, {storage:?}, {side} pixels, {batch} samples: off by {:.1} %",
                100.0 * off
            );
            // The decoder is loaded only for previews, and a GPU's pages are not full.
            let with = plan(true, true).weights;
            assert_eq!(with.resident() - plan(false, true).weights.resident(), weights.decoder);
            assert!(plan(false, false).empty > plan(false, true).empty);
        }
    }

    #[test]
    fn what_a_u_net_knows_of_prompts_stays_while_pictures_are_made() {
        let (mut config, _) = published(Family::Sd1, Storage::AsFile);
        let job = Job { height: 64, width: 64, batch: 2 };
        let denoising =
            |config: &ModelConfig| MemoryPlan::generating(config, WeightBytes::default(), job, true).phases[0];
        let with = denoising(&config).bytes;
        // Keys and values of two prompts of 77 tokens, for five attentions at each of three widths and one in the middle.
        let known = 2 * 2 * 77 * (5 * (320 + 640 + 1280) + 1280) * 4;
        let of_three =
            MemoryPlan::generating(&config, WeightBytes::default(), job, true).with_stretches(&config, job, 3);
        assert_eq!(of_three.phases[0].bytes, with + 2 * known);
        // Of a preview the decoder may need more than what is known of its prompt.
        let preview = |stretches: usize| {
            let plan =
                MemoryPlan::training(&config, WeightBytes::default(), job, true, Some(Job::preview(&config)), true);
            let plan = plan.with_preview_stretches(&config, stretches);
            plan.phases.iter().find(|need| need.phase == Phase::Preview).unwrap().bytes
        };
        assert!(preview(1) <= preview(8) && preview(400) == preview(399) + known);
        for text in &mut config.text_encoders {
            text.max_position_embeddings = 0;
        }
        assert_eq!(with - denoising(&config).bytes, known);
    }

    #[test]
    fn stable_diffusion_1_fits_any_gpu() {
        let (config, weights) = published(Family::Sd1, Storage::AsFile);
        let job = Job { height: 512, width: 512, batch: 1 };
        let plan = |pictures: Option<Job>| MemoryPlan::training(&config, weights, job, true, pictures, false);
        let (with, without) = (plan(Some(Job::preview(&config))), plan(None));
        println!("{}\n{}\n{with:?}\n{without:?}", with.sentence(), without.sentence());
        assert!(with.peak() <= 2_800_000_000 && without.peak() <= 2_350_000_000);
        // What WebGPU promises is enough, in training and for pictures; less than the largest weight is not.
        let takes = |bytes: u64| Machine { free: None, largest_buffer: Some(bytes) };
        let generating = MemoryPlan::generating(&config, weights, Job { batch: 2, ..job }, false);
        for plan in [&with, &without, &generating] {
            plan.check(&takes(128 << 20)).unwrap();
            let said = plan.check(&takes(weights.largest - 1)).unwrap_err().to_string();
            assert!(said.contains("a single buffer") && said.contains("buffers of up to"), "{said}");
        }
    }

    #[test]
    fn sdxl_fits_eight_gigabytes() {
        let (config, weights) = published(Family::Sdxl, Storage::AsFile);
        // What is in all files, but for the second half of the autoencoder: 5.135 GB of U-Net, 1.42 of text encoders without
        // their tables, which stay on the host, and the last layer and norm of the first, which are not loaded.
        assert!((5_130_000_000..5_140_000_000).contains(&weights.unet), "{weights:?}");
        assert!((1_410_000_000..1_420_000_000).contains(&weights.text), "{weights:?}");
        let step =
            MemoryPlan::training(&config, weights, Job { height: 1024, width: 1024, batch: 1 }, true, None, false);
        assert!(!step.advice().contains(&Advice::Smaller(Setting::BatchSize)), "one sample is the least");
        for side in [1024, 768, 512, 256] {
            let job = Job { height: side, width: side, batch: 1 };
            let training = |pictures| MemoryPlan::training(&config, weights, job, true, pictures, false);
            let generating = MemoryPlan::generating(&config, weights, Job { batch: 2, ..job }, false);
            let previews = training(Some(Job::preview(&config)));
            println!("{side}:\n{}\n{}\n{}", training(None).sentence(), previews.sentence(), generating.sentence());
            println!("{:?}", training(None).phases);
            for plan in [training(None), previews, generating] {
                assert!(plan.peak() <= 8_000_000_000, "{side}: {}", plan.sentence());
                // What WebGPU promises is enough.
                plan.check(&Machine { free: None, largest_buffer: Some(128 << 20) }).unwrap();
                let error = plan.check(&Machine { free: Some(4 << 30), largest_buffer: None }).unwrap_err();
                assert!(matches!(error, Error::TooLittleMemory { .. }), "{error}");
            }
        }
    }

    /// In eight bits, with the kernels of a GPU: what the peers that keep convolutions in f16 do not reach.
    #[test]
    fn in_eight_bits_a_step_fits_one_and_a_half_gigabytes_and_sdxls_five() {
        for (family, side, most) in [(Family::Sd1, 512, 1_500_000_000), (Family::Sdxl, 1024, 5_000_000_000)] {
            let (config, weights) = published(family, Storage::Q8);
            let job = Job { height: side, width: side, batch: 1 };
            let plan = MemoryPlan::training(&config, weights, job, true, None, false);
            println!("{family:?}, {side}: {}", plan.sentence());
            assert!(plan.peak() <= most, "{}", plan.sentence());
            assert!(!plan.advice().iter().any(|advice| advice.setting() == Some(Setting::Weights)));
        }
    }

    /// Its autoencoder is that of Stable Diffusion 1.5, so tiles of 512 pixels bound both.
    #[test]
    fn decoding_sdxls_pictures_takes_no_more_than_a_tile() {
        let (config, weights) = published(Family::Sdxl, Storage::AsFile);
        let decoding = |width, height| {
            MemoryPlan::generating(&config, weights, Job { height, width, batch: 1 }, false).phases[1].bytes
        };
        let tile = decoding(512, 512);
        assert!(tile <= 510_000_000, "{tile}");
        assert_eq!([decoding(1024, 1024), decoding(832, 1216), decoding(2048, 2048)], [tile; 3]);
    }

    #[test]
    fn more_samples_need_more_and_recomputing_needs_less() {
        assert!(plan(true, 64).phases[1].bytes > 4 * plan(true, 8).phases[1].bytes);
        let source = crate::source::Folder::new("models/mini");
        let config = pollster::block_on(ModelConfig::read(&source)).unwrap();
        let job = Job { height: 64, width: 64, batch: 16 };
        let [remembered, recomputed] = [false, true].map(|recompute| {
            MemoryPlan::training(&config, WeightBytes::default(), job, recompute, None, true).worst().bytes
        });
        assert!(recomputed * 3 < remembered * 2, "{recomputed} {remembered}");
    }
}
