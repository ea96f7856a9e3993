//! A model on the browser's GPU, and the words that it knows besides its own.

use std::rc::Rc;

use js_sys::{Array, Function, Object, Uint8Array};
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::files::Files;
use super::wording::label;
use super::{Generation, Training, plain, to_js};
use crate::checkpoint::{Checkpoint, Options};
use crate::config::{SampleConfig, TrainConfig};
use crate::embedding::{Embedding, Layout, Refusal};
use crate::event::Event;
use crate::formats::{Holds, can_hold};
use crate::image::Picture;
use crate::model::usual_storage;
use crate::session::Session;
use crate::source::Source;
use crate::text::check_token;
use crate::train::templates::parse_template;
use crate::train::{Replay, RunState, TrainInput, TrainPicture};
use crate::{Error, gpu};

/// A model on the browser's GPU.
#[wasm_bindgen]
pub struct Engine {
    session: Session,
}

#[wasm_bindgen]
impl Engine {
    /// Loads a model from its files, an object of `path: Blob` in the diffusers folder layout, or with one `.safetensors` file
    /// in the layout that Stable Diffusion was published in; each tensor is read when its turn comes, and kept as f16. `name`
    /// is what to call the model, `on_event` gets the events of loading.
    pub async fn open(name: String, files: Object, on_event: Function) -> Result<Engine, JsValue> {
        let files = Files::new(name, &files);
        let chosen = gpu::browser().await.map_err(to_js)?;
        let mut tell = |event: Event| {
            if let Ok(event) = plain(&event.worded(&label)) {
                // A page that throws in its listener is the page's affair.
                let _ignored = on_event.call1(&JsValue::NULL, &event);
            }
        };
        tell(chosen.event());
        gpu::tested(&chosen).await.map_err(to_js)?;
        let source: Rc<dyn Source> = match files.only() {
            Some(path) if can_hold(&path, Holds::Model) => {
                let checkpoint = Checkpoint::open(Rc::new(files), &path, &Options::default()).await.map_err(to_js)?;
                checkpoint.notes().iter().for_each(|note| tell(Event::warning("checkpoint", note.clone())));
                Rc::new(checkpoint)
            }
            _ => Rc::new(files),
        };
        let storage = usual_storage(&*source, true).await.map_err(to_js)?;
        let session = Session::open_with(source, &chosen.device, Some(storage), &mut tell).await.map_err(to_js)?;
        Ok(Engine { session })
    }

    /// Says whether a new word can be called `token`; throws the reason if it cannot.
    #[wasm_bindgen(js_name = checkToken)]
    pub fn check_token(&self, token: &str) -> Result<(), JsValue> {
        check_token(token).map_err(to_js)?;
        // In a copy: nothing is registered by asking.
        self.session.tokenizer().clone().add_word(token, 1).map(|_| ()).map_err(to_js)
    }

    /// How many tokens a phrase is in this model's vocabulary: a word that starts from it needs as many vectors.
    #[wasm_bindgen(js_name = countTokens)]
    pub fn count_tokens(&self, phrase: &str) -> usize {
        self.session.tokenizer().encode(phrase).len()
    }

    /// Makes the word of a file usable in prompts, whatever program wrote it. `name` is the file's name; `token` renames
    /// the word. Gives `{token, vectors, width, init?}`.
    #[wasm_bindgen(js_name = addWord)]
    pub fn add_word(&mut self, bytes: &[u8], name: &str, token: Option<String>) -> Result<JsValue, JsValue> {
        let bad = |refusal: Refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() });
        let word = Embedding::read(bytes, name, token.as_deref()).map_err(bad)?;
        let init = word.metadata.get("init");
        let about = json!({"token": word.token, "vectors": word.vectors(), "width": word.width(), "init": init});
        self.session.add_embedding(word, name).map_err(to_js)?;
        plain(&about)
    }

    /// Forgets a word; says whether there was one.
    #[wasm_bindgen(js_name = removeWord)]
    pub fn remove_word(&mut self, token: &str) -> bool {
        self.session.remove_embedding(token).is_some()
    }

    /// The bytes of a file with a word that was added: `diffusers`, `diffusers-bin`, `a1111` or `kohya`.
    pub fn export(&self, token: &str, format: &str) -> Result<Vec<u8>, JsValue> {
        let word = self.session.embeddings().iter().find(|word| word.token == token);
        let word = word.ok_or_else(|| to_js(Error::Usage(format!("there is no word {token:?}"))))?;
        write(word, format)
    }

    /// Starts learning a word. `config` has the fields of the settings file (kebab-case; what is left out has its default);
    /// `pictures` are objects `{name, bytes, caption?}`, where the caption has the word, or `{}` in its place; `replay` is a file with every random choice, or nothing; `state` is
    /// that of a run to go on with, started with the same words, pictures and configuration.
    pub fn train(
        &self,
        config: JsValue,
        pictures: Array,
        replay: Option<Vec<u8>>,
        state: Option<Vec<u8>>,
    ) -> Result<Training, JsValue> {
        let config: TrainConfig = serde_wasm_bindgen::from_value(config)?;
        let mut input = TrainInput::default();
        for picture in pictures.iter() {
            let field = |name: &str| js_sys::Reflect::get(&picture, &name.into());
            let name = field("name")?.as_string().unwrap_or_default();
            let bytes = Uint8Array::new(&field("bytes")?).to_vec();
            let picture = Picture::decode(&name, &bytes).map_err(to_js)?;
            let caption = field("caption")?.as_string().map(|caption| {
                let bad = |reason: String| to_js(Error::BadFile { file: format!("the caption of {name}"), reason });
                parse_template(&caption.replace(&config.token, "{}")).map_err(bad)
            });
            input.pictures.push(TrainPicture { picture, caption: caption.transpose()? });
        }
        input.replay = match replay {
            Some(bytes) => Some(Replay::read(&bytes, "the replay").map_err(to_js)?),
            None => None,
        };
        let job = match state {
            Some(state) => {
                let state = RunState::read(&state, "what was saved of the run").map_err(to_js)?;
                self.session.resume(&config, input, &state)
            }
            None => self.session.train(&config, input),
        };
        Ok(Training::new(job.map_err(to_js)?))
    }

    /// Starts making pictures. `config` has the fields of the settings file, as for `train`.
    pub fn generate(&self, prompt: &str, config: JsValue) -> Result<Generation, JsValue> {
        let config: SampleConfig = serde_wasm_bindgen::from_value(config)?;
        let job = self.session.sample(prompt, &config).map_err(to_js)?;
        Ok(Generation::new(job, prompt.to_owned(), config))
    }
}

/// The bytes of a file with a word, in a layout by its name.
pub(super) fn write(word: &Embedding, format: &str) -> Result<Vec<u8>, JsValue> {
    let layout = match format {
        "diffusers" => Layout::Safetensors,
        "diffusers-bin" => Layout::Bin,
        "a1111" => Layout::A1111,
        "kohya" => Layout::Kohya,
        other => return Err(to_js(Error::Usage(format!("there is no format {other:?}")))),
    };
    crate::embedding::write(word, layout).map_err(|refusal| to_js(Error::Usage(refusal.to_string())))
}
