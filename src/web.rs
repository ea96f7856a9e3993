//! The engine for a browser: what a Worker can call. Events are plain objects, vectors are typed arrays.
//!
//! JavaScript pumps: a job works only while its `next()` is awaited, so pausing is not calling it.

use std::rc::Rc;

use js_sys::{Array, Function, Object, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::config::TrainConfig;
use crate::event::Event;
use crate::image::Picture;
use crate::session::Session;
use crate::source::Memory;
use crate::train::{Replay, TrainInput, TrainJob, TrainPicture};
use crate::{Error, gpu};

/// Panics become console errors with a message instead of `unreachable`.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

fn to_js(error: Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

fn plain(value: &impl Serialize) -> Result<JsValue, JsValue> {
    // The default would make Maps of the tagged variants; pages expect objects.
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

/// A model on the browser's GPU.
#[wasm_bindgen]
pub struct Engine {
    session: Session,
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model from its files, an object of `path: Uint8Array` in the diffusers folder layout. `on_event` gets the
    /// events of loading.
    pub async fn open(files: Object, on_event: Function) -> Result<Engine, JsValue> {
        let mut source = Memory::new("the model's files");
        for entry in Object::entries(&files).iter() {
            let pair = Array::from(&entry);
            let path = pair.get(0).as_string().unwrap_or_default();
            source.insert(path, Uint8Array::new(&pair.get(1)).to_vec());
        }
        let chosen = gpu::browser().await.map_err(to_js)?;
        let mut tell = |event: Event| {
            if let Ok(event) = plain(&event) {
                // A page that throws in its listener is the page's affair.
                let _ignored = on_event.call1(&JsValue::NULL, &event);
            }
        };
        tell(chosen.event());
        let session = Session::open(Rc::new(source), &chosen.device, &mut tell).await.map_err(to_js)?;
        Ok(Engine { session })
    }

    /// Starts learning a word. `config` has the fields of the settings file (kebab-case; what is left out has its default);
    /// `pictures` are objects `{name, bytes, caption?}`; `replay` is a file with every random choice, or nothing.
    pub fn train(&self, config: JsValue, pictures: Array, replay: Option<Vec<u8>>) -> Result<Training, JsValue> {
        let config: TrainConfig = serde_wasm_bindgen::from_value(config)?;
        let mut input = TrainInput::default();
        for picture in pictures.iter() {
            let field = |name: &str| js_sys::Reflect::get(&picture, &name.into());
            let name = field("name")?.as_string().unwrap_or_default();
            let bytes = Uint8Array::new(&field("bytes")?).to_vec();
            let picture = Picture::decode(&name, &bytes).map_err(to_js)?;
            input.pictures.push(TrainPicture { picture, caption: field("caption")?.as_string() });
        }
        input.replay = match replay {
            Some(bytes) => Some(Replay::read(&bytes, "the replay").map_err(to_js)?),
            None => None,
        };
        Ok(Training { job: self.session.train(&config, input).map_err(to_js)? })
    }
}

/// A word being learned.
#[wasm_bindgen]
pub struct Training {
    job: TrainJob,
}

#[wasm_bindgen]
impl Training {
    /// Works until the next event and gives it; `undefined` when everything is done.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        match self.job.next().await.map_err(to_js)? {
            Some(event) => plain(&event),
            None => Ok(JsValue::UNDEFINED),
        }
    }

    /// The vectors as they are now, row after row.
    pub fn rows(&self) -> Vec<f32> {
        self.job.embedding().rows
    }

    /// The bytes of `learned_embeds.safetensors`.
    pub fn embedding(&self) -> Vec<u8> {
        self.job.embedding().to_safetensors()
    }
}
