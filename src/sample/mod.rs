//! Generation: noise and a prompt become pictures.

pub(crate) mod check;
mod label;
mod usual;

use std::collections::VecDeque;
use std::rc::Rc;

use burn::tensor::Tensor;
use image::RgbImage;
use web_time::Instant;

use crate::config::{EmptyNegative, SampleConfig};
use crate::event::Event;
use crate::layout;
use crate::model::Model;
use crate::noise::{Noise, Stream};
use crate::ops::{Blend, Var};
use crate::schedule::Sampler;
use crate::setting::Setting;
use crate::text::{Encoding, Prompt, Rows, Tokenizers};
use crate::unet::PromptKeysAndValues;
use crate::vae::VaeDecoder;
use crate::vae::tiling::{self, Map};
use crate::{Error, Result, gpu, ops};
pub use check::says_unknown;
pub use check::{
    CONCERNS, about_model, about_prompt, about_schedule, check, check_latents, check_numbers, concerns, decided,
    usual_sizes,
};
pub use label::is_taken_up;
pub use label::{Label, LikeNote, NotDone, PictureSettings, SOFTWARE, used};
pub use usual::{usual_in_words, with_usual};

/// The longest side of a picture, in pixels.
const LONGEST_SIDE: u32 = 4096;

/// The longest side of a sketch, in latents.
pub const SKETCH: usize = 32;

/// Pictures being made. Ask for events with [`SampleJob::next`] until there are none, then take the pictures.
pub struct SampleJob {
    model: Rc<Model>,
    rows: Tensor<2>,
    prompt: Prompt,
    negative: Prompt,
    config: SampleConfig,
    /// Height and width of the latents.
    size: [usize; 2],
    /// Starting noise `[count, 4, h, w]` that was given instead of drawn, row after row.
    given: Option<Vec<f32>>,
    begun: Instant,
    warnings: VecDeque<Event>,
    /// Ready for any batch: the step of call 0 starts another.
    sampler: Sampler,
    batch: Option<Batch>,
    pictures: Vec<RgbImage>,
    /// Pictures made so far, taken or not.
    made: usize,
    finished: bool,
}

/// Pictures that are denoised together.
struct Batch {
    /// `[B, h, w, 4]`.
    latents: Tensor<4>,
    /// Of the negative prompt (with guidance) and the prompt, each repeated for the batch.
    prompts: PromptKeysAndValues,
    step: usize,
    /// What the last step takes them for, without the noise; none before the first.
    denoised: Option<Blend<4>>,
    decoder: Rc<VaeDecoder>,
}

impl SampleJob {
    /// Prepares a generation.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Usage`].
    pub(crate) fn new(
        model: Rc<Model>,
        tokenizers: Tokenizers,
        rows: &Rows,
        prompt: &str,
        config: &SampleConfig,
    ) -> Result<Self> {
        let config = &with_usual(config, &model.config);
        let size = check(config, &model.config)?;
        let warnings = [about_model(config, &model.config), concerns(prompt, config, &tokenizers, &[])].concat().into();
        let config = decided(config, &model.config);
        let sampler = Sampler::new(config.sampler(), config.karras, &model.config.scheduler, config.steps() as usize)?;
        let rows = rows.tensor(&model.device);
        let read = |text: &str| tokenizers.read(text, config.prompt_syntax);
        let (prompt, negative) = (read(prompt), read(&config.negative_prompt));
        Ok(Self {
            model,
            rows,
            prompt,
            negative,
            config,
            size,
            given: None,
            begun: Instant::now(),
            warnings,
            sampler,
            batch: None,
            pictures: Vec::new(),
            made: 0,
            finished: false,
        })
    }

    /// Starts from given noise, `[count, 4, h, w]` with unit variance as a generator would draw it, instead of drawing
    /// it.
    ///
    /// # Errors
    /// [`Error::Usage`] if the shape does not fit this generation.
    pub fn start_from(&mut self, latents: Vec<f32>, shape: [usize; 4]) -> Result<()> {
        check_latents(shape, &self.config, &self.model.config)?;
        self.given = Some(latents);
        Ok(())
    }

    /// The prompt as it was understood.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// How the pictures are made: what was asked for, and what the model's own files decide.
    pub fn config(&self) -> &SampleConfig {
        &self.config
    }

    /// The tokens of the embeddings that the pictures are made with: those in the prompt, and with guidance those in the
    /// negative one.
    pub fn embeddings(&self) -> Vec<&str> {
        let prompts = [Some(&self.prompt), self.config.is_guided().then_some(&self.negative)];
        let mut tokens: Vec<&str> = Vec::new();
        for token in prompts.into_iter().flatten().flat_map(|prompt| &prompt.tokens().words) {
            if !tokens.contains(&token.as_str()) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// The pictures that are ready, in order.
    pub fn take_pictures(&mut self) -> Vec<RgbImage> {
        std::mem::take(&mut self.pictures)
    }

    /// A rough, small look at what the first picture of those under way is becoming: what the last step takes it for, decoded at no
    /// more than [`SKETCH`] latents a side. None between pictures. It changes nothing about them; how often it is worth its time is the
    /// caller's affair.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn sketch(&self) -> Result<Option<RgbImage>> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let Some(denoised) = &batch.denoised else { return Ok(None) };
        let first = denoised.clone().value().narrow(0, 0, 1) / self.model.config.vae.scaling_factor;
        let decoded = tiling::decode(&batch.decoder, &shrunk(first), tiling::TILE).await?;
        // What the decoder took is not in the plan of denoising.
        ops::release_unused(&self.model.device);
        let [height, width] = decoded.size;
        Ok(Some(crate::image::from_floats(&decoded.values, width as u32, height as u32)))
    }

    /// Works until the next event; none when everything is done.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        if let Some(warning) = self.warnings.pop_front() {
            return Ok(Some(warning));
        }
        let done = self.made;
        let count = self.config.count as usize;
        match self.batch.take() {
            Some(batch) if batch.step < self.sampler.timesteps().len() => self.denoise(batch).await.map(Some),
            Some(batch) => self.decode(batch).await.map(Some),
            None if done < count && !self.finished => {
                let batch = self.begin(done, (count - done).min(self.config.batch_size as usize)).await?;
                self.denoise(batch).await.map(Some)
            }
            None if !self.finished => {
                self.finished = true;
                let steps = self.config.steps();
                Ok(Some(Event::Done { steps, secs: self.begun.elapsed().as_secs_f64() }))
            }
            None => Ok(None),
        }
    }

    /// Whether zeros stand for the negative prompt.
    fn zeros_for_negative(&self) -> bool {
        self.config.empty_negative == Some(EmptyNegative::Zeros)
    }

    /// Encodes the prompts and draws the noise of `count` pictures from number `first` on.
    async fn begin(&mut self, first: usize, count: usize) -> Result<Batch> {
        // Loaded before the long work if it is not there yet: a broken file must not be found only after it.
        let warnings = &mut self.warnings;
        let mut keep = |event: Event| {
            if matches!(event, Event::Warning { .. }) {
                warnings.push_back(event)
            }
        };
        let decoder = self.model.decoder(&mut keep).await?;
        let config = &self.config;
        let prompts = if self.config.is_guided() {
            vec![self.negative.clone(), self.prompt.clone()]
        } else {
            vec![self.prompt.clone()]
        };
        let rows = Var::constant(self.rows.clone());
        let [height, width] = self.size.map(|side| (side * self.model.config.vae.pixels_per_latent()) as f32);
        let sizes = [height, width, 0.0, 0.0, height, width];
        let encoding = Encoding { pooling: config.pooling, clip_skip: config.clip_skip, recompute: false };
        let mut given = self.model.conditions(&prompts, &rows, &[sizes], encoding);
        if self.zeros_for_negative() {
            given = given.with_zeros_first();
        }
        let prompts = self.model.unet.keys_and_values(&given.repeated(count));

        let (channels, [h, w]) = (self.model.config.vae.latent_channels, self.size);
        let per_picture = channels * h * w;
        let values: Vec<f32> = match &self.given {
            Some(given) => given[first * per_picture..(first + count) * per_picture].to_vec(),
            None => (first..first + count)
                .flat_map(|i| Noise::new(config.seed_of(i as u64)).draws(0, Stream::Latents).normals(per_picture))
                .collect(),
        };
        let latents = layout::channels_last(&values, [count, channels, h, w], &self.model.device);
        self.sampler.begin();
        let latents = latents * self.sampler.init_noise_sigma();
        Ok(Batch { latents, prompts, step: 0, denoised: None, decoder })
    }

    async fn denoise(&mut self, mut batch: Batch) -> Result<Event> {
        let started = Instant::now();
        let [count, ..] = batch.latents.dims();
        let input = self.sampler.scale_model_input(batch.latents.clone(), batch.step);
        let timestep = self.sampler.timesteps()[batch.step];
        let unet = &self.model.unet;
        let output = if self.config.is_guided() {
            let both = unet.predict(&ops::twice(&input), &vec![timestep; 2 * count], &batch.prompts);
            let (plain, conditioned) = (both.clone().narrow(0, 0, count), both.narrow(0, count, count));
            ops::guided(&plain, &conditioned, self.config.guidance())
        } else {
            unet.predict(&input, &vec![timestep; count], &batch.prompts)
        };
        let noise = self.sampler.needs_noise().then(|| self.fresh_noise(count, batch.step));
        let stepped = self.sampler.step(output, batch.step, batch.latents, noise);
        (batch.latents, batch.denoised) = (stepped.prev_sample, Some(stepped.denoised));
        batch.step += 1;
        // Wait for the device, so that the step's time is real and no queue builds up.
        ops::settle(&batch.latents).await?;
        let (step, of) = (batch.step as u32, self.sampler.timesteps().len() as u32);
        self.batch = Some(batch);
        Ok(Event::Denoise { step, of, secs: started.elapsed().as_secs_f64() })
    }

    fn fresh_noise(&self, count: usize, step: usize) -> Tensor<4> {
        let (channels, [h, w]) = (self.model.config.vae.latent_channels, self.size);
        let first = self.made;
        let values: Vec<f32> = (first..first + count)
            .flat_map(|i| {
                let noise = Noise::new(self.config.seed_of(i as u64));
                noise.draws(step as u64, Stream::Ancestral).normals(channels * h * w)
            })
            .collect();
        layout::channels_last(&values, [count, channels, h, w], &self.model.device)
    }

    async fn decode(&mut self, batch: Batch) -> Result<Event> {
        let Batch { latents, prompts, decoder, .. } = batch;
        let latents = latents / self.model.config.vae.scaling_factor;
        let [count, ..] = latents.dims();
        // The decoder is where the most memory is used.
        drop(prompts);
        ops::release_unused(&self.model.device);
        for i in 0..count {
            // One at a time: the decoder needs far more memory than the U-Net.
            let picture = latents.clone().narrow(0, i, 1);
            let Map { size: [height, width], values, .. } = tiling::decode(&decoder, &picture, tiling::TILE).await?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(not_finite(&self.config, gpu::is_gpu(&self.model.device)));
            }
            self.made += 1;
            self.pictures.push(crate::image::from_floats(&values, width as u32, height as u32));
        }
        ops::release_unused(&self.model.device);
        Ok(Event::Pictures { count: count as u32 })
    }
}

/// Latents `[1, h, w, c]`, averaged to no more than [`SKETCH`] a side.
fn shrunk(latents: Tensor<4>) -> Tensor<4> {
    let [_, h, w, channels] = latents.dims();
    let by = h.max(w).div_ceil(SKETCH);
    let (rows, columns) = (h / by, w / by);
    if by == 1 || rows == 0 || columns == 0 {
        return latents;
    }
    let whole = latents.narrow(1, 0, rows * by).narrow(2, 0, columns * by);
    let blocks: Tensor<5> = whole.reshape([rows, by, columns, by, channels]);
    blocks.mean_dim(3).mean_dim(1).reshape([1, rows, columns, channels])
}

/// A picture that is not one: the weights are finite, or they would not have been loaded.
fn not_finite(config: &SampleConfig, on_gpu: bool) -> Error {
    let mut reason = format!(
        "numbers grew beyond all bounds on the way: try {} below {}, another {}, or without the embeddings of other models",
        Setting::Guidance,
        config.guidance(),
        Setting::Sampler
    );
    if on_gpu {
        reason += &format!("; if it comes out well with {} cpu, the GPU's driver is at fault", Setting::Device);
    }
    Error::NotFinite { what: "the picture".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_latents_are_averaged_for_a_sketch() {
        let device = gpu::cpu();
        let numbered =
            Tensor::<1>::from_floats((0..70 * 40).map(|i| (i % 40) as f32).collect::<Vec<_>>().as_slice(), &device);
        let small = shrunk(numbered.reshape([1, 70, 40, 1]));
        assert_eq!(small.dims(), [1, 23, 13, 1]);
        let first: Vec<f32> = small.into_data().try_to_vec().expect("floats");
        assert_eq!(first[..2], [1.0, 4.0], "the middle of three columns each");
        let untouched = shrunk(Tensor::<4>::ones([1, 32, 8, 4], &device));
        assert_eq!(untouched.dims(), [1, 32, 8, 4]);
    }
}
