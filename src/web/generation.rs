//! Pictures being made.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::engine::ModelName;
use super::{next, png, to_js};
use crate::sample::{Label, SampleJob};

/// Pictures being made.
#[wasm_bindgen]
pub struct Generation {
    job: SampleJob,
    prompt: String,
    model: ModelName,
    /// Tokens of the embeddings in the prompt, and the hashes of their files.
    embeddings: Vec<(String, String)>,
    taken: u64,
}

impl Generation {
    pub(super) fn new(job: SampleJob, prompt: String, model: ModelName, embeddings: Vec<(String, String)>) -> Self {
        Self { job, prompt, model, embeddings, taken: 0 }
    }
}

#[wasm_bindgen]
impl Generation {
    /// Works until the next event and gives it; `undefined` when everything is done.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        next(self.job.next().await)
    }

    /// A rough look at the picture under way, as a PNG file ([`SampleJob::sketch`]); `undefined` where there is none.
    pub async fn sketch(&mut self) -> Result<Option<Vec<u8>>, JsValue> {
        let sketch = self.job.sketch().await.map_err(to_js)?;
        sketch.map(|picture| png(&picture, &[])).transpose()
    }

    /// The pictures that are ready and were not taken yet, as PNG files that carry their settings.
    pub fn pictures(&mut self) -> Result<Array, JsValue> {
        let pictures = Array::new();
        for picture in self.job.take_pictures() {
            let label = Label {
                prompt: &self.prompt,
                config: self.job.config(),
                seed: Some(self.job.config().seed_of(self.taken)),
                size: picture.dimensions(),
                model: &self.model.name,
                model_hash: self.model.hash.as_deref(),
                embeddings: &self.embeddings,
            };
            pictures.push(&Uint8Array::from(png(&picture, &label.text())?.as_slice()));
            self.taken += 1;
        }
        Ok(pictures)
    }
}
