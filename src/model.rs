//! A Stable Diffusion model, loaded: everything that stays the same whatever is learned or generated.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use sha2::{Digest, Sha256};

use crate::event::{Event, Part};
use crate::ops::{Var, splice};
use crate::schedule::SchedulerConfig;
use crate::source::{Source, read_text};
use crate::text::{ClipTextConfig, ClipTextModel, ClipTokenizer, Prompt, Vocabulary};
use crate::unet::{Unet, UnetConfig};
use crate::vae::{VaeConfig, VaeDecoder, VaeEncoder};
use crate::weights::{Asked, Random, Storage, Weights, files};
use crate::{Error, Result, gpu};

/// Parameters up to which a model is kept in f32: below this the conversions would cost more than the memory.
const SMALL: u64 = 64 << 20;

/// The parts that have weights.
pub const PARTS: [Part; 3] = [Part::TextEncoder, Part::Unet, Part::Vae];

/// The configurations of a model's parts.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// The text encoder's.
    pub text: ClipTextConfig,
    /// The U-Net's.
    pub unet: UnetConfig,
    /// The autoencoder's.
    pub vae: VaeConfig,
    /// The noise schedule's.
    pub scheduler: SchedulerConfig,
}

impl ModelConfig {
    /// Reads the configuration files of a diffusers folder.
    ///
    /// # Errors
    /// [`Error::ModelPartMissing`] for a missing file, [`Error::BadConfig`] for one that cannot be run.
    pub async fn read(source: &dyn Source) -> Result<Self> {
        let read = async |part: &str, path: &str| match read_text(source, path).await? {
            Some(text) => Ok((text, format!("{}/{path}", source.name()))),
            None => {
                Err(Error::ModelPartMissing { model: source.name(), part: part.to_owned(), expected: path.to_owned() })
            }
        };
        let (text, file) = read("text encoder", "text_encoder/config.json").await?;
        let text = ClipTextConfig::from_json(&text, &file)?;
        let (unet, unet_file) = read("U-Net", "unet/config.json").await?;
        let unet = UnetConfig::from_json(&unet, &unet_file)?;
        let (vae, file) = read("autoencoder", "vae/config.json").await?;
        let vae = VaeConfig::from_json(&vae, &file)?;
        let (scheduler, file) = read("noise schedule", "scheduler/scheduler_config.json").await?;
        let scheduler = SchedulerConfig::from_json(&scheduler, &file)?.for_stable_diffusion();
        for level in 0..unet.block_out_channels.len() {
            let width = unet.cross_attention_dim.at(level);
            if width != text.hidden_size {
                let reason =
                    format!("cross_attention_dim is {width}, but the text encoder's width is {}", text.hidden_size);
                return Err(Error::BadConfig { file: unet_file, reason });
            }
        }
        if unet.in_channels != vae.latent_channels || unet.out_channels != vae.latent_channels {
            let (inputs, latents) = (unet.in_channels, vae.latent_channels);
            let reason = format!(
                "the U-Net takes {inputs} channels and the autoencoder makes {latents}; inpainting models are not supported"
            );
            return Err(Error::BadConfig { file: unet_file, reason });
        }
        Ok(Self { text, unet, vae, scheduler })
    }

    /// The side in pixels that the model was trained on.
    pub fn resolution(&self) -> u32 {
        // SD 1.5's U-Net says 64; a file that says nothing is taken for one of its kind.
        (self.unet.sample_size.unwrap_or(64) * self.vae.pixels_per_latent()) as u32
    }

    /// Sides in pixels must be a multiple of this.
    pub fn size_step(&self) -> u32 {
        (self.unet.size_step() * self.vae.pixels_per_latent()) as u32
    }
}

/// The words of a model with their vectors, without the rest of the model.
///
/// # Errors
/// See [`Vocabulary::read`].
pub async fn vocabulary(source: &dyn Source) -> Result<Vocabulary> {
    Vocabulary::read(source).await
}

/// What of a model is loaded, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// How weights are kept; none means f32 for small models, and of others f16 on a GPU and as in the file on the processor.
    pub storage: Option<Storage>,
    /// Whether the decoder is loaded with the rest, and not when it is first needed.
    pub decoder: bool,
    /// Whether the U-Net's files are hashed on the way ([`Model::unet_hash`]).
    pub hash: bool,
}

impl Default for Loading {
    fn default() -> Self {
        Self { storage: None, decoder: true, hash: false }
    }
}

/// A loaded model.
pub struct Model {
    /// Its configurations.
    pub config: ModelConfig,
    /// What it is called.
    pub name: String,
    /// What tells it from others: a hash of the lengths of its files and of places in them.
    pub fingerprint: String,
    /// SHA-256 of the U-Net's files, if it was asked for.
    pub unet_hash: Option<String>,
    /// Where its tensors live.
    pub device: Device,
    /// The text encoder.
    pub text: ClipTextModel,
    /// The U-Net.
    pub unet: Unet,
    /// The decoder half of the autoencoder, while somebody needs it.
    decoder: RefCell<Option<Rc<VaeDecoder>>>,
    source: Rc<dyn Source>,
    storage: Storage,
}

impl Model {
    /// Loads a model, except for the autoencoder's encoder, which only training needs ([`Model::encoder`]).
    ///
    /// # Errors
    /// One of the variants about models and files; see [`ModelConfig::read`] and [`Weights::finish`].
    pub async fn load(
        source: Rc<dyn Source>,
        device: &Device,
        loading: Loading,
        events: &mut dyn FnMut(Event),
    ) -> Result<(Rc<Self>, ClipTokenizer)> {
        let config = ModelConfig::read(&*source).await?;
        let length = config.text.max_position_embeddings;
        let tokenizer = ClipTokenizer::load(&*source, config.text.vocab_size, length).await?;
        let storage = match loading.storage {
            Some(storage) => storage,
            None => usual_storage(&*source, gpu::is_gpu(device)).await?,
        };

        let weights = Weights::open(&*source, Part::TextEncoder, device, storage, &mut *events).await?;
        let text = ClipTextModel::load(&weights, &config.text).await?;
        weights.finish().await?;
        drop(weights);

        let weights = Weights::open(&*source, Part::Unet, device, storage, &mut *events).await?;
        let unet_hash = match loading.hash {
            // On this device and no other: to start a second one takes time and a hundred megabytes.
            true => Some(weights.send_in_order(&asked_by_unet(&*source, &config.unet, device).await?).await?),
            false => None,
        };
        let unet = Unet::load(&weights, &config.unet).await?;
        weights.finish().await?;
        drop(weights);

        let model = Self {
            config,
            name: source.name(),
            fingerprint: fingerprint(&*source).await?,
            unet_hash,
            device: device.clone(),
            text,
            unet,
            decoder: RefCell::default(),
            source: source.clone(),
            storage,
        };
        if loading.decoder {
            model.decoder(events).await?;
        }
        Ok((Rc::new(model), tokenizer))
    }

    /// Loads the encoder half of the autoencoder.
    pub async fn encoder(&self, events: &mut dyn FnMut(Event)) -> Result<VaeEncoder> {
        let weights = Weights::open(&*self.source, Part::Vae, &self.device, self.storage, events).await?;
        let encoder = VaeEncoder::load(&weights, &self.config.vae).await?;
        weights.finish_except(&["decoder.", "post_quant_conv."]).await?;
        Ok(encoder)
    }

    /// The decoder half of the autoencoder, which is loaded if it is not there.
    ///
    /// # Errors
    /// Those of its file; see [`Weights::finish`].
    pub async fn decoder(&self, events: &mut dyn FnMut(Event)) -> Result<Rc<VaeDecoder>> {
        if let Some(decoder) = &*self.decoder.borrow() {
            return Ok(decoder.clone());
        }
        let weights = Weights::open(&*self.source, Part::Vae, &self.device, self.storage, events).await?;
        let decoder = Rc::new(VaeDecoder::load(&weights, &self.config.vae).await?);
        weights.finish_except(&["encoder.", "quant_conv."]).await?;
        *self.decoder.borrow_mut() = Some(decoder.clone());
        Ok(decoder)
    }

    /// Lets the decoder go, once nobody holds it: learning a word without previews has no use for it.
    pub fn release_decoder(&self) {
        self.decoder.borrow_mut().take();
    }

    /// Hidden states `[B, T, D]` of prompts, with `rows` `[K, D]` for the learned words.
    pub fn encode_prompts(&self, prompts: &[Prompt], rows: &Var<2>, recompute: bool) -> Var<3> {
        let table = &self.text.token_embedding;
        let (length, width) = (self.config.text.max_position_embeddings, table.width());
        let vocabulary = self.config.text.vocab_size;
        let mut values = Vec::with_capacity(prompts.len() * length * width);
        let mut places = Vec::new();
        for (position, &id) in prompts.iter().flat_map(|prompt| &prompt.ids).enumerate() {
            match (id as usize).checked_sub(vocabulary) {
                Some(row) => {
                    places.push((position, row));
                    values.resize(values.len() + width, 0.0);
                }
                None => values.extend(table.row(id as usize)),
            }
        }
        let base = Tensor::<1>::from_floats(values.as_slice(), &self.device).reshape([prompts.len(), length, width]);
        self.text.forward(&splice(base, rows, &places), recompute)
    }
}

/// A model of the given configuration with random weights, to measure with: nothing but the configuration and the tokenizer
/// is read.
///
/// # Errors
/// See [`ModelConfig::read`].
pub async fn with_random_weights(configs: Rc<dyn Source>) -> Result<Random> {
    let config = ModelConfig::read(&*configs).await?;
    // Only shapes are asked for, so any device will do.
    let (device, mut quiet) = (Device::default(), |_| ());
    let mut shapes = BTreeMap::new();
    for part in PARTS {
        let weights = Weights::listing(&*configs, part, &device, &mut quiet);
        match part {
            Part::Unet => drop(Unet::load(&weights, &config.unet).await?),
            Part::Vae => {
                drop(VaeEncoder::load(&weights, &config.vae).await?);
                drop(VaeDecoder::load(&weights, &config.vae).await?);
            }
            Part::TextEncoder | Part::Tokenizer => drop(ClipTextModel::load(&weights, &config.text).await?),
        }
        let asked = weights.asked().into_iter();
        shapes.insert(files::whole(part), asked.map(|(name, mut asked)| (name, asked.shapes.remove(0))).collect());
    }
    Ok(Random::new(configs, shapes))
}

/// The weights that a U-Net of this configuration asks for, by name.
async fn asked_by_unet(source: &dyn Source, config: &UnetConfig, device: &Device) -> Result<BTreeMap<String, Asked>> {
    let mut quiet = |_| ();
    let weights = Weights::listing(source, Part::Unet, device, &mut quiet);
    drop(Unet::load(&weights, config).await?);
    Ok(weights.asked())
}

/// How weights are kept unless somebody says so: small models in f32; of others, f16 on a GPU and as in the file on the
/// processor.
///
/// # Errors
/// Those of looking for the files.
pub async fn usual_storage(source: &dyn Source, on_gpu: bool) -> Result<Storage> {
    Ok(usual_storage_of(weight_bytes(source).await?, on_gpu))
}

/// The same, judged by the length of all weight files in bytes.
pub fn usual_storage_of(bytes: u64, on_gpu: bool) -> Storage {
    // As many parameters as there would be in f16.
    match bytes / 2 <= SMALL {
        true => Storage::F32,
        false if on_gpu => Storage::F16,
        false => Storage::AsFile,
    }
}

/// A hash that is another for every other model: of the weights' lengths, headers and some of their values. All of them
/// would take seconds in a browser, and fine-tuning leaves no part alone.
async fn fingerprint(source: &dyn Source) -> Result<String> {
    const WINDOW: u64 = 64 << 10;
    let mut hash = Sha256::new();
    for part in PARTS {
        for path in files::find(source, part).await?.unwrap_or_default() {
            let length = source.length(&path).await?.unwrap_or(0);
            hash.update(format!("{path} {length}\n"));
            for part in 0..8 {
                let start = length * part / 8;
                hash.update(source.read(&path, start..length.min(start + WINDOW)).await?);
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The length of all weight files.
async fn weight_bytes(source: &dyn Source) -> Result<u64> {
    let mut bytes = 0;
    for part in PARTS {
        for path in files::find(source, part).await?.unwrap_or_default() {
            bytes += source.length(&path).await?.unwrap_or(0);
        }
    }
    Ok(bytes)
}
