//! A loaded Stable Diffusion model: everything that stays the same, no matter what is learned or generated.

mod config;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use burn::tensor::Device;
use sha2::{Digest, Sha256};

pub use self::config::ModelConfig;
use crate::embedding::shown;
use crate::event::{Event, WarningCode};
use crate::ops::{Var, columns, release_unused, side_by_side};
use crate::parts::{Part, Precision};
use crate::schedule::NoiseSchedule;
use crate::source::{Source, architecture};
use crate::text::{Batch, ClipTextModel, ClipTokenizer, Encoding, Manner, Prompt, TextEncoder, Tokenizers, Vocabulary};
use crate::unet::{Conditions, TimeIds, Unet, UnetConfig};
use crate::vae::{VaeDecoder, VaeEncoder};
use crate::weights::{Random, Storage, WeightBytes, WeightRequest, Weights, files, samples};
use crate::{Result, gpu};

/// Bytes of weight files up to which a model is kept in f32, in whatever form they are: below this the conversions would cost more
/// than the memory.
const SMALL: u64 = 128 << 20;

/// A model whose small files have been read: what it is, before any weight is. Cheap to clone.
#[derive(Clone)]
pub struct OpenedModel {
    /// Its files.
    pub source: Rc<dyn Source>,
    /// Its configurations.
    pub config: ModelConfig,
    /// The tokenizers of its text encoders.
    pub tokenizers: Tokenizers,
}

impl OpenedModel {
    /// Reads configurations and tokenizers; the weights need not be there yet.
    ///
    /// # Errors
    /// Those of [`ModelConfig::read`] and [`ClipTokenizer::load`].
    pub async fn read(source: Rc<dyn Source>) -> Result<Self> {
        let config = ModelConfig::read(&*source).await?;
        let mut tokenizers = Vec::new();
        for (text, (_, part)) in config.text_encoders.iter().zip(config.architecture.text_encoders()) {
            tokenizers.push(ClipTokenizer::load(&*source, *part, text.vocab_size, text.max_position_embeddings).await?);
        }
        Ok(Self { source, config, tokenizers: Tokenizers::new(tokenizers) })
    }

    /// How its weights are kept ([`storage_for`]).
    ///
    /// # Errors
    /// Those of looking for the files.
    pub async fn storage(&self, chosen: Option<Storage>, on_gpu: bool) -> Result<Storage> {
        storage_of(&*self.source, chosen, on_gpu).await
    }
}

/// How the weights of a model are kept, of which nothing was read yet ([`storage_for`]).
///
/// # Errors
/// Those of looking for the files.
pub async fn storage_of(source: &dyn Source, chosen: Option<Storage>, on_gpu: bool) -> Result<Storage> {
    Ok(storage_for(chosen, weight_bytes(source).await?, on_gpu))
}

/// The vocabularies of a model with their vectors, one for each text encoder, without the rest of the model.
///
/// # Errors
/// See [`Vocabulary::read`].
pub async fn vocabularies(source: &dyn Source) -> Result<Vec<Vocabulary<'static>>> {
    let mut all = Vec::new();
    for (encoder, tokenizer) in architecture(source).await?.text_encoders() {
        all.push(Vocabulary::read(source, *encoder, *tokenizer).await?);
    }
    Ok(all)
}

/// What of a model is loaded, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// How weights are kept, if the user chooses ([`storage_for`]).
    pub storage: Option<Storage>,
    /// Whether the decoder is loaded with the rest, and not when it is first needed.
    pub decoder: bool,
    /// Whether the U-Net's files are hashed while they are read ([`Model::unet_hash`]).
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
    /// What distinguishes it from others: a hash of the lengths of its files and of samples of them.
    pub fingerprint: String,
    /// SHA-256 of the U-Net's files, if it was asked for.
    pub unet_hash: Option<String>,
    /// What the U-Net is, in any layout and precision ([`samples`]).
    pub unet_samples: Option<String>,
    /// Where its tensors live.
    pub device: Device,
    /// The text encoders, in the order of [`Architecture::text_encoders`].
    pub text_encoders: Vec<TextEncoder>,
    /// The U-Net.
    pub unet: Unet,
    /// The noise schedule of its training.
    pub schedule: NoiseSchedule,
    /// The decoder half of the autoencoder, while it is needed.
    decoder: RefCell<Option<Rc<VaeDecoder>>>,
    /// Warnings about the autoencoder's files, of which each half reads all names.
    warned: RefCell<BTreeSet<String>>,
    source: Rc<dyn Source>,
    storage: Storage,
}

impl Model {
    /// Loads a model, except for the autoencoder's encoder, which only training needs ([`Model::encoder`]).
    ///
    /// # Errors
    /// One of the variants about models and files; see [`Weights::finish`].
    pub async fn load(
        opened: &OpenedModel,
        device: &Device,
        loading: Loading,
        events: &mut dyn FnMut(Event),
    ) -> Result<Rc<Self>> {
        let OpenedModel { source, config, tokenizers } = opened.clone();
        let storage = opened.storage(loading.storage, gpu::is_gpu(device)).await?;
        // Of a model before this one.
        release_unused(device);

        // Loading a network is a future of up to a hundred kilobytes, of which the stack would hold a copy for each caller that
        // moves its own: threads of tests have two megabytes, and WebAssembly has one. Hence the boxes.
        let mut text_encoders = Vec::new();
        let parts = config.text_encoders.iter().zip(config.taken()).zip(config.architecture.text_encoders());
        for (((text, taken), &(part, _)), tokenizer) in parts.zip(tokenizers.into_each()) {
            for word in tokenizer.words_without_vectors() {
                let (model, word) = (source.name(), shown(word));
                let text = format!("{model} has the word {word}, but no vectors for it: prompts take it for text");
                events(Event::warning(WarningCode::ModelWord, text));
            }
            let weights = Weights::open(&*source, part, device, storage, &mut *events).await?;
            let model = Box::pin(ClipTextModel::load(&weights, text, taken)).await?;
            let leaves = taken.leaves(text);
            weights.finish_except(&leaves.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            text_encoders.push(TextEncoder { part, tokenizer, model });
        }

        let weights = Weights::open(&*source, Part::Unet, device, storage, &mut *events).await?;
        let unet_hash = if loading.hash {
            // On this device and no other: to start a second one takes time and a hundred megabytes.
            let requests = Box::pin(unet_requests(&*source, &config.unet, device)).await?;
            Some(weights.send_in_order(&requests).await?)
        } else {
            None
        };
        let unet = Box::pin(Unet::load(&weights, &config.unet)).await?;
        weights.finish().await?;
        drop(weights);

        let model = Self {
            schedule: NoiseSchedule::new(&config.scheduler),
            config,
            name: source.name(),
            fingerprint: fingerprint(&*source).await?,
            unet_hash,
            unet_samples: samples::of(&*source, Part::Unet).await?,
            device: device.clone(),
            text_encoders,
            unet,
            decoder: RefCell::default(),
            warned: RefCell::default(),
            source,
            storage,
        };
        if loading.decoder {
            model.decoder(events).await?;
        }
        Ok(Rc::new(model))
    }

    /// The files that it is loaded from.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Bytes of its weights as they are kept.
    ///
    /// # Errors
    /// Those of reading the headers of its files.
    pub async fn weight_bytes(&self) -> Result<WeightBytes> {
        WeightBytes::read(&*self.source, self.storage, &self.config.left_in_files()).await
    }

    /// Loads the encoder half of the autoencoder.
    pub async fn encoder(&self, events: &mut dyn FnMut(Event)) -> Result<VaeEncoder> {
        let mut events = self.once(events);
        let weights = Weights::open(&*self.source, Part::Vae, &self.device, self.storage, &mut events).await?;
        let encoder = Box::pin(VaeEncoder::load(&weights, &self.config.vae)).await?;
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
        let mut events = self.once(events);
        let weights = Weights::open(&*self.source, Part::Vae, &self.device, self.storage, &mut events).await?;
        let decoder = Rc::new(Box::pin(VaeDecoder::load(&weights, &self.config.vae)).await?);
        weights.finish_except(&["encoder.", "quant_conv."]).await?;
        *self.decoder.borrow_mut() = Some(decoder.clone());
        Ok(decoder)
    }

    /// Passes events on, but no warning twice.
    fn once<'a>(&'a self, events: &'a mut dyn FnMut(Event)) -> impl FnMut(Event) + 'a {
        move |event| match &event {
            Event::Warning { text, .. } if !self.warned.borrow_mut().insert(text.clone()) => {}
            _ => events(event),
        }
    }

    /// Drops the decoder, once nothing holds it: training without previews does not need it.
    pub fn release_decoder(&self) {
        if self.decoder.borrow_mut().take().is_some() {
            release_unused(&self.device);
        }
    }

    /// The first text encoder.
    ///
    /// # Panics
    /// If there is none, which no loaded model has.
    pub fn text(&self) -> &TextEncoder {
        &self.text_encoders[0]
    }

    /// What the U-Net is told of prompts, with `rows` `[K, D]` for the learned words: in each row the columns for all text
    /// encoders, side by side. `time_ids` are the sizes of the pictures, which only SDXL is told; of one, all prompts are. The
    /// states are as long as those of the prompt with most stretches; others are filled up with the empty prompt.
    pub fn conditions(
        &self,
        prompts: &[Prompt],
        rows: &Var<2>,
        time_ids: &[TimeIds],
        encoding: impl Into<Encoding>,
    ) -> Conditions {
        let Encoding { pooling, clip_skip, recompute } = encoding.into();
        let widths: Vec<usize> = self.text_encoders.iter().map(TextEncoder::width).collect();
        let chunks = prompts.iter().map(Prompt::chunks).max().unwrap_or(1);
        let left_out = self.config.clip_layers().map_or(0, |_| clip_skip.saturating_sub(1) as usize);
        let manner = Manner { recompute, left_out, hidden: None };
        let (mut states, mut vector) = (Vec::new(), None);
        for (i, (encoder, rows)) in self.text_encoders.iter().zip(columns(rows, &widths)).enumerate() {
            let prompts = prompts.iter().map(|prompt| (&prompt.encoders[i], prompt.syntax)).collect();
            let batch = Batch { prompts, chunks, rows: &rows, device: &self.device };
            let encoded = encoder.encode(&batch, pooling, self.config.text_encoders[i].eos_token_id, &manner);
            states.push(encoded.states);
            vector = vector.or(encoded.pooled);
        }
        let sizes = |batch: usize| time_ids.iter().copied().cycle().take(batch).collect::<Vec<_>>();
        let added = vector.map(|vector| (vector, sizes(prompts.len())));
        Conditions { states: side_by_side(&states), added }
    }
}

/// A model of the given configuration with random weights, to measure with: nothing but the configuration and the
/// tokenizer is read.
///
/// # Errors
/// See [`ModelConfig::read`].
pub async fn with_random_weights(configs: Rc<dyn Source>) -> Result<Random> {
    let config = ModelConfig::read(&*configs).await?;
    // Only shapes are asked for, so any device will do.
    let (device, mut quiet) = (gpu::any(), |_| ());
    let mut shapes = BTreeMap::new();
    let mut texts = config.text_encoders.iter().zip(config.taken());
    for part in config.architecture.with_weights() {
        let weights = Weights::listing(&*configs, part, &device, &mut quiet);
        match part {
            Part::Unet => drop(Unet::load(&weights, &config.unet).await?),
            Part::Vae => {
                drop(VaeEncoder::load(&weights, &config.vae).await?);
                drop(VaeDecoder::load(&weights, &config.vae).await?);
            }
            // In the order of the configurations.
            Part::TextEncoder | Part::TextEncoder2 => {
                let Some((text, taken)) = texts.next() else { continue };
                drop(ClipTextModel::load(&weights, text, taken).await?)
            }
            Part::Tokenizer | Part::Tokenizer2 | Part::Scheduler => continue,
        }
        let Some(paths) = part.weights(Precision::Full) else { continue };
        let requests = weights.requests().into_iter();
        shapes.insert(paths.whole, requests.map(|(name, mut request)| (name, request.shapes.remove(0))).collect());
    }
    Ok(Random::new(configs, shapes))
}

/// The weights that a U-Net of this configuration asks for, by name.
async fn unet_requests(
    source: &dyn Source,
    config: &UnetConfig,
    device: &Device,
) -> Result<BTreeMap<String, WeightRequest>> {
    let mut quiet = |_| ();
    let weights = Weights::listing(source, Part::Unet, device, &mut quiet);
    drop(Unet::load(&weights, config).await?);
    Ok(weights.requests())
}

/// How weights are kept, given the length of all their files in bytes: as the user chose, or else small models in f32;
/// others in f16 on a GPU, and as in the file on the processor.
pub fn storage_for(chosen: Option<Storage>, bytes: u64, on_gpu: bool) -> Storage {
    match chosen {
        Some(chosen) => chosen,
        None if bytes <= SMALL => Storage::F32,
        None if on_gpu => Storage::F16,
        None => Storage::AsFile,
    }
}

/// A hash that is another for every other model: of the weights' lengths, headers and some of their values. All of them
/// would take seconds in a browser, and fine-tuning leaves no part alone.
pub(crate) async fn fingerprint(source: &dyn Source) -> Result<String> {
    const WINDOW: u64 = 64 << 10;
    let mut hash = Sha256::new();
    for part in architecture(source).await?.with_weights() {
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
    for part in architecture(source).await?.with_weights() {
        for path in files::find(source, part).await?.unwrap_or_default() {
            bytes += source.length(&path).await?.unwrap_or(0);
        }
    }
    Ok(bytes)
}
