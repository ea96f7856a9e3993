//! The memory plan against what a GPU's memory holds.

use burn::tensor::Tensor;
use image::{Rgb, RgbImage};
use pseudoword::config::{Checkpointing, TrainConfig};
use pseudoword::event::Event;
use pseudoword::gpu::memory::MemoryWatch;
use pseudoword::gpu::{self, DeviceChoice};
use pseudoword::image::Picture;
use pseudoword::plan::{Job, MemoryPlan, OTHER_PAGES, Phase, WeightBytes, autoencoder};
use pseudoword::source::Folder;
use pseudoword::train::{TrainInput, TrainPicture};
use pseudoword::vae::Budget;
use pseudoword::weights::Storage;

use crate::fixtures::{Place, gpu, model_path, open, values};

/// What was measured may be this share of the plan. More, and the plan forgets something; less, and it counts what is not
/// there. Pages are long beside what so small a model fills them with, and what tests before left in them is not counted again,
/// so shares at full size are nearer to one. Above it are the pages that every plan counts once: whether the driver has taken
/// one back before the next is made is a matter of moments, and one of these is 8.7 MB.
const SHARES: std::ops::RangeInclusive<f64> = 0.65..=1.1;

/// Phases with what was planned and what was measured, in bytes.
#[derive(Default)]
struct Measured(Vec<(String, u64, u64)>);

impl Measured {
    fn add(&mut self, what: impl Into<String>, planned: u64, measured: u64) {
        self.0.push((what.into(), planned, measured));
    }

    fn check(self) {
        let is_off = |(what, planned, measured): &&(String, u64, u64)| {
            let [planned, measured] = [*planned, *measured].map(|bytes| bytes as f64 / 1e6);
            println!("{what}: planned {planned:.1} MB, measured {measured:.1} MB: {:.2}", measured / planned);
            measured < SHARES.start() * planned || measured > SHARES.end() * planned + OTHER_PAGES as f64 / 1e6
        };
        let off: Vec<_> = self.0.iter().filter(is_off).collect();
        assert!(off.is_empty(), "{off:?}");
    }
}

/// Watches the GPU; what other tests left behind is gone.
fn watch(place: &Place) -> MemoryWatch {
    place.device.memory_cleanup();
    let started = gpu::started(&gpu::choose(DeviceChoice::Gpu).unwrap()).unwrap();
    MemoryWatch::new(&started).expect("Vulkan says what it gave")
}

/// The most bytes that some work adds to what the memory held before.
fn added(place: &Place, watch: &MemoryWatch, work: impl FnOnce() -> Tensor<4>) -> u64 {
    place.device.memory_cleanup();
    let before = watch.take().buffers.min(watch.take().buffers);
    values(work());
    watch.take().buffers - before
}

#[test]
fn the_autoencoder_takes_what_is_planned() {
    let (place, _turn) = gpu();
    let session = open("mini", &place, Some(Storage::AsFile));
    let watch = watch(&place);
    let model = session.model();
    let encoder = pollster::block_on(model.encoder(&mut |_| ())).unwrap();
    let decoder = pollster::block_on(model.decoder(&mut |_| ())).unwrap();
    let (side, per_latent) = (96, model.config.vae.pixels_per_latent());
    let pixels = (side * per_latent) as u32;
    let job = Job { height: pixels, width: pixels, batch: 1 };
    let numbers = |side: usize, channels| Tensor::<4>::full([1, side, side, channels], 0.5, &place.device);
    let mut all = Measured::default();
    for (budget, how) in [
        (Budget { whole: u64::MAX, ..Budget::default() }, "whole"),
        (Budget { whole: 1 << 20, band: 1 << 20 }, "in bands"),
    ] {
        let [encoding, decoding] = autoencoder(&model.config, job, &budget);
        let picture = numbers(pixels as usize, 3);
        let measured = added(&place, &watch, || encoder.encode_within(&picture, &budget).mean);
        all.add(format!("encoding {how}"), encoding, measured);
        let latents = numbers(side, 4);
        let measured = added(&place, &watch, || decoder.decode_within(&latents, &budget));
        all.add(format!("decoding {how}"), decoding, measured);
    }
    all.check();
}

#[test]
fn a_training_step_takes_what_is_planned() {
    let (place, _turn) = gpu();
    let watch = watch(&place);
    let empty = watch.take().buffers.min(watch.take().buffers);
    let session = open("mini", &place, Some(Storage::AsFile));
    let model = &session.model().config;
    let weights =
        pollster::block_on(WeightBytes::read(&Folder::new(model_path("mini")), Storage::AsFile, &[])).unwrap();
    let batch_size = 16;
    let job = Job { height: 64, width: 64, batch: batch_size };
    let mut all = Measured::default();
    for (checkpointing, recompute) in [(Checkpointing::Off, false), (Checkpointing::On, true)] {
        place.device.memory_cleanup();
        let config = TrainConfig {
            token: "<thing>".to_owned(),
            steps: Some(1),
            batch_size: Some(batch_size),
            checkpointing,
            eval_every: 0,
            eval_size: 1,
            preview_every: 0,
            ..TrainConfig::default()
        };
        let picture = Picture::new("a pattern", RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, 0])));
        let pictures = vec![TrainPicture { picture, caption: None, mask: None }];
        let mut job_of_training = session.train(&config, TrainInput { pictures, ..TrainInput::default() }).unwrap();
        let mut step = 0;
        while let Some(event) = pollster::block_on(job_of_training.next()).unwrap() {
            let most = watch.take().buffers;
            if let Event::Step { .. } = event {
                step = most - empty;
            }
        }
        let plan = MemoryPlan::training(model, weights, job, recompute, None, false);
        let need = plan.phases.iter().find(|need| need.phase == Phase::Step).unwrap();
        all.add(format!("a step, blocks recomputed: {recompute}"), plan.weights.resident() + need.bytes, step);
    }
    all.check();
}
