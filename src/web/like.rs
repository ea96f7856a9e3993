//! What a picture says of how it was made, for a page that takes it up.

use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::engine::Engine;
use super::tools::Tools;
use super::wording::label;
use super::{plain, to_js};
use crate::config::SampleConfig;
use crate::sample::{LikeNote, PictureSettings};
use crate::setting::{Setting, worded};

/// Up to here every whole number is one in JavaScript.
const EXACT: u64 = 1 << 53;

/// A note, `{code, parts, text}`.
fn note(note: &LikeNote) -> Value {
    json!({"code": note.code(), "parts": note.parts(), "text": worded(&note.to_string(), &label)})
}

fn read(bytes: &[u8], name: &str) -> Result<PictureSettings, JsValue> {
    let mut said = PictureSettings::read(bytes, name).map_err(to_js)?;
    let seed = Setting::Seed.key();
    if let Some(large) = said.settings.get(seed).filter(|seed| seed.as_u64().is_none_or(|seed| seed > EXACT)).cloned() {
        said.settings.remove(seed);
        said.notes.push(LikeNote::Value { key: "Seed".to_owned(), value: large.to_string() });
    }
    Ok(said)
}

#[wasm_bindgen]
impl Tools {
    /// What a picture's file says of how it was made: `{own, prompt, settings, model, modelHash, embeddings: [{token, hash}], notes:
    /// [{code, parts, text}]}`. `settings` has the fields of settings files: what the picture does not say, or says wrongly, has its default, or is
    /// left out where that is the model's affair.
    /// `notes` are about what is not taken up ([`LikeNote`]), the text in English. Throws why there is nothing to take up.
    #[wasm_bindgen(js_name = settingsOf)]
    pub fn settings_of(&self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        let said = read(bytes, name)?;
        let mut settings = json!(said.applied_to(&SampleConfig::default(), &|_| false));
        if let Some(fields) = settings.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let embedding = |(token, hash): &(String, String)| json!({"token": token, "hash": hash});
        plain(&json!({
            "own": said.own, "prompt": said.prompt, "settings": settings, "model": said.model, "modelHash": said.model_hash,
            "embeddings": said.embeddings.iter().map(embedding).collect::<Vec<_>>(),
            "notes": said.notes.iter().map(note).collect::<Vec<_>>(),
        }))
    }

    /// Whether a file says how a picture was made: `"read"`, `"other"` if only in a form that is not read, `undefined` if it does not.
    #[wasm_bindgen(js_name = saysHow)]
    pub fn says_how(&self, bytes: &[u8]) -> Option<String> {
        let read = PictureSettings::are_read(bytes)?;
        Some(if read { "read" } else { "other" }.to_owned())
    }
}

#[wasm_bindgen]
impl Engine {
    /// What of this model, and of the embeddings that were added, is not what such a picture was made with: notes as
    /// [`Tools::settings_of`] has them.
    #[wasm_bindgen(js_name = differencesTo)]
    pub fn differences_to(&self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        let said = read(bytes, name)?;
        let model = said.about_model(&self.model.name, self.model.hash.as_deref());
        let notes: Vec<Value> = model.iter().chain(&said.about_embeddings(&self.files)).map(note).collect();
        plain(&notes)
    }
}
