//! An embedding being learned.

use wasm_bindgen::prelude::*;

use super::engine::ModelName;
use super::wording::label;
use super::{next, plain, png};
use crate::setting::worded;
use crate::train::TrainJob;

/// An embedding being learned.
#[wasm_bindgen]
pub struct Training {
    job: TrainJob,
    model: ModelName,
    /// The embeddings that prompts can use besides the new one: their tokens, and the hashes of their files.
    embeddings: Vec<(String, String)>,
}

impl Training {
    pub(super) fn new(job: TrainJob, model: ModelName, embeddings: Vec<(String, String)>) -> Self {
        Self { job, model, embeddings }
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
        let model = (self.model.name.as_str(), self.model.hash.as_deref());
        png(&picture, &self.job.preview_label(step, &picture, model, &self.embeddings)).map(Some)
    }

    /// What to think of the embedding as it is now, by its last evaluation: `{level: "good" | "begun" | "fair" | "poor", text, gain, length,
    /// advice?}` ([`Verdict`](crate::train::Verdict)); `undefined` before a step was made and evaluated.
    pub fn verdict(&self) -> Result<JsValue, JsValue> {
        let Some(mut verdict) = self.job.verdict() else { return Ok(JsValue::UNDEFINED) };
        verdict.advice = verdict.advice.map(|advice| worded(&advice, &label));
        plain(&verdict)
    }

    /// Everything that moves, as a file to resume from.
    pub fn state(&self) -> Vec<u8> {
        self.job.state()
    }

    /// The vectors as they are now, row after row; those for a second text encoder follow.
    pub fn rows(&self) -> Vec<f32> {
        self.job.embedding().encoders.iter().flat_map(|vectors| vectors.rows.clone()).collect()
    }

    /// The embedding as it is now, as a file in a layout by its key ([`Layout::key`](crate::embedding::Layout::key)).
    pub fn embedding(&self, format: &str) -> Result<Vec<u8>, JsValue> {
        super::engine::write(&self.job.embedding(), format)
    }
}
