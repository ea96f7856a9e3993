//! What the page can ask before there is a model: what files hold.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::{plain, to_js};
use crate::Error;
use crate::base::math::mean_norm;
use crate::embedding::{self, FileEmbedding};

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
}
