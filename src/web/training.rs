//! An embedding being learned.

use wasm_bindgen::prelude::*;

use super::engine::ModelName;
use super::{next, png};
use crate::sample::Label;
use crate::train::TrainJob;

/// An embedding being learned.
#[wasm_bindgen]
pub struct Training {
    job: TrainJob,
    model: ModelName,
}

impl Training {
    pub(super) fn new(job: TrainJob, model: ModelName) -> Self {
        Self { job, model }
    }
}

#[wasm_bindgen]
impl Training {
    /// Works until the next event and gives it; `undefined` when everything is done.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        next(self.job.next().await)
    }

    /// The preview that the last `preview` event announced, as a PNG that carries its settings; `undefined` if it was
    /// taken already.
    pub fn preview(&mut self) -> Result<Option<Vec<u8>>, JsValue> {
        let Some((step, picture)) = self.job.take_preview() else { return Ok(None) };
        let config = self.job.preview_config();
        let embedding = self.job.embedding();
        let label = Label {
            prompt: self.job.preview_prompt(),
            config,
            seed: Some(config.seed),
            size: picture.dimensions(),
            model: &self.model.name,
            model_hash: self.model.hash.as_deref(),
            embeddings: &[(embedding.token.clone(), embedding.hash())],
        };
        let mut text = label.text();
        text.push(("training step".to_owned(), step.to_string()));
        png(&picture, &text).map(Some)
    }

    /// Everything that moves, as a file to resume from.
    pub fn state(&self) -> Vec<u8> {
        self.job.state()
    }

    /// The vectors as they are now, row after row.
    pub fn rows(&self) -> Vec<f32> {
        self.job.embedding().rows().to_vec()
    }

    /// The embedding as it is now, as a file in a layout by its key ([`Layout::key`](crate::embedding::Layout::key)).
    pub fn embedding(&self, format: &str) -> Result<Vec<u8>, JsValue> {
        super::engine::write(&self.job.embedding(), format)
    }
}
