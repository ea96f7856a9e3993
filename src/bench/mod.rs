//! How long steps take and what memory they need: what `pseudoword bench` measures.
//!
//! The pieces of work, their sizes and the names of the figures are those of `benches/peer/peer.py`, which measures
//! diffusers and PyTorch. Every measurement ends with values read back from the device, so that nothing is still
//! running.

mod clock;
mod known;
mod launches;
mod operations;
mod predict;
mod work;

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use image::{Rgb, RgbImage};

pub use self::clock::Figures;
use self::clock::{Clock, PieceClock};
pub use self::known::{GPUS, KnownGpu, Rates};
pub use self::launches::{KernelTime, StepLaunches};
pub use self::operations::Peak;
pub use self::predict::{Products, Row, Step, pieces, sizes, steps};
pub use self::work::unet_flops;
use crate::Result;
use crate::config::{Checkpointing, Pooling, SampleConfig, SamplerKind, TrainConfig};
use crate::event::Event;
use crate::gpu::memory::MemoryWatch;
use crate::image::Picture;
use crate::noise::{Noise, Stream};
use crate::ops::{Var, backward, mse, read, settle};
use crate::sample::SampleJob;
use crate::session::Session;
use crate::train::{TrainInput, TrainJob, TrainPicture};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Timed repetitions of each piece of work.
    pub repetitions: u32,
    /// Most seconds for each, apart from a few repetitions that are made in any case.
    pub seconds: f64,
}

/// A model on a device, to be measured.
pub struct Bench {
    /// The model.
    pub session: Session,
    /// The device.
    pub device: Device,
    /// Side of the pictures in pixels.
    pub side: u32,
    /// Whether blocks are recomputed in the backward pass.
    pub checkpointing: Checkpointing,
    /// How much is measured.
    pub effort: Effort,
    /// Watches the memory of a GPU that says what it holds.
    pub memory: Option<MemoryWatch>,
}

/// What a training step is made of, in seconds.
pub struct Split {
    /// The prompts.
    pub text: f64,
    /// The U-Net, forward.
    pub unet: f64,
    /// The backward pass through both.
    pub backward: f64,
    /// Whether blocks were recomputed in the backward pass.
    pub recomputed: bool,
}

impl Split {
    /// All of it.
    pub fn sum(&self) -> f64 {
        self.text + self.unet + self.backward
    }
}

impl Bench {
    /// Multiplications and additions of the U-Net for one sample, forward.
    pub fn unet_flops(&self) -> f64 {
        unet_flops(&self.session.model().config, self.side as usize / self.pixels_per_latent())
    }

    fn pixels_per_latent(&self) -> usize {
        self.session.model().config.vae.pixels_per_latent()
    }

    /// The pieces of a training step, each waited for: the prompts, the U-Net, and the backward pass.
    pub async fn split(&self, batch: u32) -> Result<Split> {
        let model = self.session.model();
        let (config, side) = (&model.config, self.side as usize / self.pixels_per_latent());
        let settings = self.settings(batch);
        let recomputed = crate::train::recomputes(&settings, config);
        let mut tokenizer = self.session.tokenizers().clone();
        tokenizer.add_word(&settings.token, settings.vectors() as usize)?;
        let prompts = vec![tokenizer.prompt(&format!("a photo of a {}", settings.token)); batch as usize];
        let shape = [batch as usize, side, side, config.vae.latent_channels];
        let (sample, target) = (self.random(shape), self.random(shape));
        let times = vec![400.0; batch as usize];
        let pixels = (side * config.vae.pixels_per_latent()) as f32;
        let time_ids = [pixels, pixels, 0.0, 0.0, pixels, pixels];
        let mut clock = PieceClock::new(self.effort);
        loop {
            let rows = Var::leaf(self.random([settings.vectors() as usize, config.word_width()]));
            let begun = Instant::now();
            let given = model.conditions(&prompts, &rows, &[time_ids], (Pooling::End, recomputed));
            settle(given.states.value()).await?;
            let encoded = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let prediction = model.unet.forward(&sample, &times, &given, recomputed);
            settle(prediction.value()).await?;
            let predicted = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            let loss = mse(&prediction, target.clone(), None);
            if let Some(gradient) = backward(&loss, Tensor::ones([1], &self.device)).take(&rows) {
                settle(&gradient).await?;
            }
            let returned = begun.elapsed().as_secs_f64();
            if clock.full([encoded, predicted, returned]) {
                break;
            }
        }
        let [text, unet, backward] = clock.medians();
        Ok(Split { text, unet, backward, recomputed })
    }

    /// Encoding a picture.
    pub async fn encode(&self) -> Result<Figures> {
        let encoder = self.session.model().encoder(&mut |_| ()).await?;
        let pixels = self.pixels();
        self.repeat(async || read(encoder.encode(&pixels).mean).await).await
    }

    /// Decoding a picture.
    pub async fn decode(&self) -> Result<Figures> {
        let model = self.session.model();
        let latents = self.latents();
        let decoder = model.decoder(&mut |_| ()).await?;
        self.repeat(async || read(decoder.decode(&latents)).await).await
    }

    /// The U-Net on the empty and the full prompt, guidance, and a sampler's step.
    pub async fn denoise(&self) -> Result<Figures> {
        let mut job = self.denoising(Clock::steps(self.effort))?;
        self.steps(async || job.next().await).await
    }

    /// A job of so many guided denoising steps.
    fn denoising(&self, steps: u32) -> Result<SampleJob> {
        let (width, height) = (Some(self.side), Some(self.side));
        // The same for all models, which are compared.
        let (guidance, steps, sampler) = (Some(7.5), Some(steps), Some(SamplerKind::Ddim));
        let config = SampleConfig { guidance, steps, sampler, width, height, ..SampleConfig::default() };
        self.session.sample("a photo of a cat", &config)
    }

    /// Steps on cached latents: encode the prompt, predict, compare, back to one row, AdamW.
    pub async fn train(&self, batch: u32) -> Result<Figures> {
        let mut job = self.training(batch, Clock::steps(self.effort))?;
        self.steps(async || job.next().await).await
    }

    /// A job of so many training steps and nothing else.
    fn training(&self, batch: u32, steps: u32) -> Result<TrainJob> {
        let config = TrainConfig { steps: Some(steps), ..self.settings(batch) };
        let pixels = RgbImage::from_fn(self.side, self.side, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let picture = Picture::new("a pattern", pixels);
        let input = TrainInput {
            pictures: vec![TrainPicture { picture, caption: None, mask: None }],
            only_work: true,
            ..TrainInput::default()
        };
        self.session.train(&config, input)
    }

    /// Settings of a run that makes only steps.
    fn settings(&self, batch: u32) -> TrainConfig {
        TrainConfig {
            token: "<bench>".to_owned(),
            // The same for all models, which are compared.
            vectors: Some(2),
            batch_size: Some(batch),
            checkpointing: self.checkpointing,
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
        let mut clock = Clock::new(self.effort);
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
        let mut clock = Clock::new(self.effort);
        loop {
            let begun = Instant::now();
            work().await?;
            if clock.full(begun.elapsed().as_secs_f64()) {
                return Ok(clock.figures(self));
            }
        }
    }

    /// A picture to encode.
    fn pixels(&self) -> Tensor<4> {
        let side = self.side as usize;
        self.random([1, side, side, 3]).clamp(-1.0, 1.0)
    }

    /// What one is decoded from.
    fn latents(&self) -> Tensor<4> {
        let side = self.side as usize / self.pixels_per_latent();
        self.random([1, side, side, self.session.model().config.vae.latent_channels])
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let values = Noise::new(0).draws(0, Stream::Latents).normals(shape.iter().product());
        Tensor::<1>::from_floats(values.as_slice(), &self.device).reshape(shape)
    }

    /// The most that the GPU's memory has held since this was asked before, in bytes.
    pub fn gpu_memory(&self) -> Option<u64> {
        self.memory.as_ref().map(|memory| memory.take().buffers)
    }
}
