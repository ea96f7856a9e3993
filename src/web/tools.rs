//! What the page can ask before there is a model: what files hold.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::engine::write;
use super::wording::label;
use super::{plain, to_js};
use crate::Error;
use crate::base::math::mean_norm;
use crate::embedding::{self, FileEmbedding, Refusal};
use crate::event::Event;
use crate::image::{Picture, are_alike};
use crate::train::about_pixels;

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

    /// What a file of embeddings holds, no matter which program wrote it: `[{token?, vectors, width, family, norm, format, notes}]`.
    /// Throws what the file is instead.
    pub fn describe(&self, bytes: &[u8], name: &str) -> Result<JsValue, JsValue> {
        let reading = embedding::read(bytes, name)
            .map_err(|refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() }))?;
        let described = |embedding: &FileEmbedding| {
            let encoders = &embedding.encoders;
            let families: Vec<&str> = encoders.iter().map(embedding::Vectors::family).collect();
            let norms = encoders.iter().map(|vectors| mean_norm(&vectors.rows, vectors.width));
            json!({
                "token": embedding.token,
                "vectors": encoders.first().map_or(0, embedding::Vectors::count),
                "width": encoders.first().map_or(0, |vectors| vectors.width),
                "family": families.join(" and "),
                "norm": norms.sum::<f64>() / encoders.len().max(1) as f64,
                "format": format!("{} in a {} file", embedding.format, embedding.container),
                "notes": embedding.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
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
        let bad = |refusal: Refusal| to_js(Error::BadFile { file: name.to_owned(), reason: refusal.to_string() });
        let within = within.or_else(|| token.clone());
        let found = embedding::read(bytes, name).and_then(|reading| reading.choose(within.as_deref())).map_err(bad)?;
        write(&found.into_embedding(token.as_deref()).map_err(bad)?, format)
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
