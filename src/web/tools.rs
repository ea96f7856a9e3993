//! What the page can ask before there is a model: what files hold.

use js_sys::{Array, Object, Uint8Array};
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::engine::{write, write_files};
use super::wording::label;
use super::{plain, to_js};
use crate::Error;
use crate::base::math::mean_norm;
use crate::embedding::{self, Embedding, FileEmbedding, Layout, Refusal};
use crate::event::Event;
use crate::image::{Picture, are_alike};
use crate::train::about_pixels;
use crate::warning::WarningCode;

/// One embedding of a file, called `token` if that is given.
fn chosen(bytes: &[u8], name: &str, token: Option<String>, within: Option<String>) -> Result<Embedding, JsValue> {
    let bad = |refusal: Refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() });
    let within = within.or_else(|| token.clone());
    let found = embedding::read(bytes, name).and_then(|reading| reading.choose(within.as_deref())).map_err(bad)?;
    found.into_embedding(token.as_deref()).map_err(bad)
}

/// The bytes of one file with the embedding of two.
pub(super) fn one_of_two(first: (&[u8], &str), second: (&[u8], &str)) -> Result<Vec<u8>, Refusal> {
    let (first, second) = (embedding::read(first.0, first.1)?, embedding::read(second.0, second.1)?);
    let both = embedding::join(first, &second)?.choose(None)?.into_embedding(None)?;
    embedding::write(&both, Layout::Safetensors)
}

/// `{[key]: name, bytes}`.
fn named_bytes(key: &str, name: &str, bytes: &[u8]) -> Object {
    let object = Object::new();
    for (key, value) in [(key, JsValue::from(name)), ("bytes", Uint8Array::from(bytes).into())] {
        // A plain object takes any key.
        let _set = js_sys::Reflect::set(&object, &key.into(), &value);
    }
    object
}

/// What is worth telling about a file.
pub(super) fn notes_of(embedding: &FileEmbedding) -> Vec<Event> {
    let note = |note: &embedding::Note| Event::warning(WarningCode::EmbeddingFile, note.to_string());
    embedding.notes.iter().map(note).collect()
}

/// What models work at, until one is known.
const USUAL_SIDE: u32 = 512;

/// What needs no model and no storage.
#[wasm_bindgen]
#[derive(Default)]
pub struct Tools {}

#[wasm_bindgen]
impl Tools {
    /// There is nothing to open.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a file of embeddings holds, no matter which program wrote it: `[{token?, vectors, width, widths, family, norm, format,
    /// notes: [{code, text}]}]`.
    /// Throws what the file is instead.
    pub fn describe(&self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        let reading = embedding::read(bytes, name)
            .map_err(|refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() }))?;
        let described = |embedding: &FileEmbedding| {
            let encoders = &embedding.encoders;
            let norms = encoders.iter().map(|vectors| mean_norm(&vectors.rows, vectors.width));
            json!({
                "token": embedding.token,
                "vectors": encoders.first().map_or(0, embedding::Vectors::count),
                "width": encoders.first().map_or(0, |vectors| vectors.width),
                "widths": embedding.widths(),
                "family": embedding.family(),
                "norm": norms.sum::<f64>() / encoders.len().max(1) as f64,
                "format": format!("{} ({})", embedding.format, embedding.container),
                "notes": notes_of(embedding),
            })
        };
        plain(&reading.embeddings().iter().map(described).collect::<Vec<_>>())
    }

    /// The bytes of such a file with one of its embeddings in a layout by its key ([`Layout::key`](embedding::Layout::key)), called
    /// `token` if that is given. `within` is what the file calls the embedding, where it holds several.
    pub fn convert(
        &self,
        bytes: &[u8],
        name: &str,
        format: &str,
        token: Option<String>,
        within: Option<String>,
    ) -> Result<Vec<u8>, JsValue> {
        write(&chosen(bytes, name, token, within)?, format)
    }

    /// The same with all files of a layout that has several, `[{name, bytes}]`; the first is called `as_name`.
    #[wasm_bindgen(js_name = convertFiles)]
    pub fn convert_files(
        &self,
        bytes: &[u8],
        name: &str,
        format: &str,
        as_name: &str,
        token: Option<String>,
    ) -> Result<Array, JsValue> {
        let files = write_files(&chosen(bytes, name, token, None)?, format, as_name)?;
        Ok(files.iter().map(|(name, bytes)| named_bytes("name", name, bytes)).collect())
    }

    /// The two files of an embedding for SDXL as diffusers writes them, as one that every program reads; in any order.
    #[wasm_bindgen(js_name = joinPair)]
    pub fn join_pair(&self, bytes: &[u8], name: &str, second: &[u8], second_name: &str) -> Result<Vec<u8>, JsValue> {
        let swapped = embedding::first_of(name).is_some_and(|first| first == second_name);
        let [first, other] =
            if swapped { [(second, second_name), (bytes, name)] } else { [(bytes, name), (second, second_name)] };
        one_of_two(first, other).map_err(|refusal| {
            to_js(Error::BadFile { file: format!("{name}, {second_name}"), reason: refusal.to_string() })
        })
    }

    /// The embeddings of Replicate's `embeddings.pti`, called as the text of the file beside it says, each as a file that every program
    /// reads: `[{token, bytes}]`.
    #[wasm_bindgen(js_name = joinNames)]
    pub fn join_names(&self, bytes: &[u8], name: &str, names: &str) -> Result<Array, JsValue> {
        let bad = |refusal: Refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() });
        let named = embedding::read(bytes, name).and_then(|reading| embedding::named(reading, names)).map_err(bad)?;
        let file = |word: &FileEmbedding| {
            let word = word.clone().into_embedding(None).map_err(bad)?;
            let bytes = embedding::write(&word, Layout::Safetensors).map_err(bad)?;
            Ok(named_bytes("token", &word.token, &bytes))
        };
        named.embeddings().iter().map(file).collect()
    }

    /// What a picture is and what about it may disappoint, where the model works at `side` pixels: `{width, height, upright: [width,
    /// height], notes, warnings: [{code, text}], fingerprint}`: its size as it is seen, turned as its EXIF says; what was done to it for
    /// that; and what [`alike`](Self::alike) compares. Throws what the file is instead, and what to do.
    pub fn examine(&self, bytes: &[u8], name: &str, side: Option<u32>) -> Result<JsValue, JsValue> {
        let mut picture = Picture::decode(name, bytes).map_err(to_js)?;
        let (width, height) = picture.pixels.dimensions();
        let mut warnings: Vec<Event> = picture.take_warning().into_iter().collect();
        warnings.extend(about_pixels(&[&picture], side.unwrap_or(USUAL_SIDE)));
        let warnings: Vec<Event> = warnings.iter().map(|event| event.worded(&label)).collect();
        plain(&json!({
            "width": width, "height": height, "upright": [width, height], "notes": picture.notes,
            "warnings": warnings, "fingerprint": picture.fingerprint(),
        }))
    }

    /// Whether two fingerprints are of the same picture, in another size or compression perhaps.
    pub fn alike(&self, one: &[u8], other: &[u8]) -> bool {
        are_alike(one, other)
    }
}
