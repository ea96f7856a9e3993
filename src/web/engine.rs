//! A model on the browser's GPU, and the embeddings that its prompts can use.

use std::rc::Rc;

use js_sys::{Array, Function, Object};
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use super::files::Files;
use super::storage::Folder;
use super::wording::label;
use super::{Generation, Training, plain, to_js};
use crate::base::text::quoted;
use crate::checkpoint::{self, Options};
use crate::config::{Backgrounds, Masks, SampleConfig, TrainConfig};
use crate::embedding::{Embedding, Layout};
use crate::event::{Event, WarningCode};
use crate::model::{Loading, storage_of};
use crate::sample::{used, with_usual};
use crate::session::Session;
use crate::setting::Setting;
use crate::source::Source;
use crate::train::{MakeCaptions, Replay, RunState, TrainInput, find_masks};
use crate::weights::{Storage, Stored, WeightBytes};
use crate::{Error, gpu};

/// A model on the browser's GPU.
#[wasm_bindgen]
pub struct Engine {
    pub(super) session: Session,
    pub(super) model: ModelName,
    pub(super) weights: WeightBytes,
    /// Of the embeddings that were added: their tokens, and the SHA-256 of their files.
    pub(super) files: Vec<(String, String)>,
}

/// A model as labels of pictures name it.
#[derive(Clone)]
pub(super) struct ModelName {
    pub name: String,
    /// SHA-256 of the U-Net's weights.
    pub hash: Option<String>,
}

#[wasm_bindgen]
impl Engine {
    /// Starts the browser's GPU and tests it. Needs no model: while one is fetched, this takes no time of its own. To be awaited
    /// before [`Engine::open`] is called.
    pub async fn prepare() -> Result<(), JsValue> {
        let chosen = gpu::browser().await.map_err(to_js)?;
        gpu::tested(&chosen, &Folder::root().await.ok()).await.map_err(to_js)
    }

    /// Loads a model from its files, an object of `path: Blob` in the diffusers folder layout, or with one
    /// `.safetensors` or `.gguf` file in the layout that Stable Diffusion was published in; each tensor is read when its turn
    /// comes, and kept as `weights` says ([`storage`]). `name` is what to call the model, `hash` the SHA-256 of its U-Net where that is
    /// known (otherwise it is computed while loading), `precision` is what [`Engine::choose_precision`] takes, or nothing for the
    /// default, `on_event` gets the events of loading.
    pub async fn open(
        name: String,
        files: Object,
        hash: Option<String>,
        precision: Option<String>,
        weights: Option<String>,
        on_event: Function,
    ) -> Result<Engine, JsValue> {
        let files = Files::new(name, &files);
        let chosen = gpu::browser().await.map_err(to_js)?;
        let mut report = |event: Event| {
            if let Ok(event) = plain(&event.worded(&label)) {
                // A page that throws in its listener is the page's affair.
                let _ignored = on_event.call1(&JsValue::NULL, &event);
            }
        };
        report(chosen.event());
        gpu::tested(&chosen, &Folder::root().await.ok()).await.map_err(to_js)?;
        report(super::precision::decided(&chosen, precision.as_deref(), false).await?.event());
        let source = source_of(files, &mut report).await.map_err(to_js)?;
        let loading = Loading { storage: storage(weights)?, hash: hash.is_none(), ..Loading::default() };
        let kept = storage_of(&*source, loading.storage, true).await.map_err(to_js)?;
        let bytes = WeightBytes::read(&*source, kept, &[]).await.map_err(to_js)?;
        if let Some(text) = bytes.left_in_eight_bits(loading.storage) {
            report(Event::warning(WarningCode::NoEffect, text));
        }
        if bytes.narrowest == Stored::Q8 {
            gpu::tested_in_eight_bits(&chosen, &Folder::root().await.ok()).await.map_err(to_js)?;
        }
        let session = Session::load(source, &chosen.device, loading, &mut report).await.map_err(to_js)?;
        let model = session.model();
        let model = ModelName { name: model.name.clone(), hash: hash.or_else(|| model.unet_hash.clone()) };
        let weights = session.model().weight_bytes().await.map_err(to_js)?;
        Ok(Engine { session, model, weights, files: Vec::new() })
    }

    /// Whether matrix products can be made in f16 at all.
    #[wasm_bindgen(js_name = hasHalves)]
    pub async fn has_halves(&self) -> Result<bool, JsValue> {
        let offer = gpu::offer(&gpu::browser().await.map_err(to_js)?);
        Ok(offer.is_some_and(|offer| !offer.ways.is_empty()))
    }

    /// Makes matrix products in another precision from now on, one of [`choices`](super::choices); gives how they are made, and
    /// why. Throws if they cannot be made so.
    #[wasm_bindgen(js_name = choosePrecision)]
    pub async fn choose_precision(&self, precision: String) -> Result<String, JsValue> {
        let chosen = gpu::browser().await.map_err(to_js)?;
        Ok(super::precision::decided(&chosen, Some(&precision), true).await?.sentence())
    }

    /// Starts learning an embedding. `config` has the fields of the settings file (kebab-case; what is left out has its
    /// default); `pictures` are objects `{name, bytes, caption?, crop?, mask?}` ([`read`](super::pictures::read)); `replay` is a file
    /// with every random choice, or nothing; `state` is that of a run to resume, started with the same embeddings, pictures and
    /// configuration. When a run ends the word is tried, unless `quality` is `"off"`: then events come whose `event` is `trying`
    /// (`{done, total}`) and, last, `quality` ([`Quality`](crate::train::Quality)).
    pub fn train(
        &self,
        config: JsValue,
        pictures: Array,
        replay: Option<Vec<u8>>,
        state: Option<Vec<u8>>,
    ) -> Result<Training, JsValue> {
        let mut config: TrainConfig = settings(&config)?;
        // What counts is what the page shows, unless it asks for more.
        config.masks = config.masks.or(Some(Masks::Given));
        let mut input =
            TrainInput { pictures: super::pictures::read(&pictures, &config.token)?, ..TrainInput::default() };
        input.replay = match replay {
            Some(bytes) => Some(Replay::read(&bytes, "the replay").map_err(to_js)?),
            None => None,
        };
        let state = match state {
            Some(state) => Some(RunState::read(&state, "what was saved of the run").map_err(to_js)?),
            None => None,
        };
        if state.as_ref().is_none_or(RunState::knows_masks) {
            find_masks(&config, &mut input).map_err(to_js)?;
        } else {
            // It was begun without masks, and goes on without them.
            input.pictures.iter_mut().for_each(|picture| picture.mask = None);
        }
        let job = match state {
            Some(state) => self.session.resume(&config, input, &state),
            None => self.session.train(&config, input),
        };
        Ok(Training::new(job.map_err(to_js)?, self.model.clone(), self.files.clone()))
    }

    /// Starts making captions for pictures that have none, as a run with a configuration would: its events `describe` and `caption` come
    /// before the first step, which nobody need ask for.
    pub fn describe(&self, config: JsValue, pictures: Array) -> Result<Training, JsValue> {
        // Of the pictures as they are.
        let config = TrainConfig {
            masks: Some(Masks::Off),
            backgrounds: Some(Backgrounds::Kept),
            ..settings::<TrainConfig>(&config)?
        };
        let pictures = super::pictures::read(&pictures, &config.token)?;
        let input = TrainInput { pictures, make_captions: MakeCaptions::AtOnce, ..TrainInput::default() };
        let job = self.session.train(&config, input).map_err(to_js)?;
        Ok(Training::new(job, self.model.clone(), self.files.clone()))
    }

    /// Starts making pictures. `config` has the fields of the settings file, as for `train`.
    pub fn generate(&self, prompt: &str, config: JsValue) -> Result<Generation, JsValue> {
        let mut config: SampleConfig = settings(&config)?;
        let model = &self.session.model().config;
        config.karras |= model.scheduler.asks_for_karras(with_usual(&config, model).sampler());
        let job = self.session.sample(prompt, &config).map_err(to_js)?;
        let used = used(&job.embeddings(), &self.files);
        Ok(Generation::new(job, prompt.to_owned(), self.model.clone(), used))
    }
}

/// A model's files as a folder, also where they are one file.
pub(super) async fn source_of(files: Files, events: &mut dyn FnMut(Event)) -> crate::Result<Rc<dyn Source>> {
    let (single, files): (_, Rc<dyn Source>) = (files.single(), Rc::new(files));
    let Some((path, has_base)) = single else { return Ok(files) };
    let options = Options { base: has_base.then(|| files.clone()), ..Options::default() };
    checkpoint::open(files, &path, &options, events).await
}

/// How weights are to be kept, by the name of a choice: `q8` for eight bits, `f16`; as suits the model and as it is in its files for
/// `auto` or nothing.
pub(super) fn storage(name: Option<String>) -> Result<Option<Storage>, JsValue> {
    match name.as_deref() {
        None | Some("auto") => Ok(None),
        Some(name) => match [Storage::Q8, Storage::F16].into_iter().find(|storage| storage.name() == name) {
            Some(storage) => Ok(Some(storage)),
            None => Err(to_js(Error::Usage(format!("weights cannot be kept as {}", quoted(name))))),
        },
    }
}

/// A configuration; throws which of its fields cannot be what the page gave.
pub(super) fn settings<T: DeserializeOwned>(given: &JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(given.clone()).map_err(|error| {
        let fields = given.dyn_ref::<Object>().map(Object::entries).unwrap_or_default();
        for field in fields.iter() {
            let alone = Object::from_entries(&Array::of1(&field));
            let wrong = alone.is_ok_and(|alone| serde_wasm_bindgen::from_value::<T>(alone.into()).is_err());
            let (name, value) = (js_sys::Reflect::get_u32(&field, 0), js_sys::Reflect::get_u32(&field, 1));
            let setting = name.ok().and_then(|name| Setting::of(&name.as_string()?));
            if let (true, Some(setting), Ok(value)) = (wrong, setting, value) {
                let given = value.as_f64().map_or_else(|| format!("{value:?}"), |number| number.to_string());
                let rule = "a whole number from 0, and not too large".to_owned();
                return to_js(Error::OutOfRange { setting, given, rule });
            }
        }
        error.into()
    })
}

/// The bytes of a file with an embedding, in a layout by its key.
pub(super) fn write(embedding: &Embedding, format: &str) -> Result<Vec<u8>, JsValue> {
    let written = crate::embedding::write(embedding, layout(format)?);
    written.map_err(|refusal| to_js(Error::Usage(refusal.to_string())))
}

/// All files of a layout, the first of which is called `name`.
pub(super) fn write_files(embedding: &Embedding, format: &str, name: &str) -> Result<Vec<(String, Vec<u8>)>, JsValue> {
    let written = crate::embedding::write_files(embedding, layout(format)?, name);
    written.map_err(|refusal| to_js(Error::Usage(refusal.to_string())))
}

fn layout(key: &str) -> Result<Layout, JsValue> {
    Layout::of(key).ok_or_else(|| to_js(Error::Usage(format!("there is no format {shown}", shown = quoted(key)))))
}
