//! Pictures being made.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{next, png};
use crate::config::SampleConfig;
use crate::sample::SampleJob;

/// Pictures being made.
#[wasm_bindgen]
pub struct Generation {
    job: SampleJob,
    prompt: String,
    config: SampleConfig,
    taken: u64,
}

impl Generation {
    pub(super) fn new(job: SampleJob, prompt: String, config: SampleConfig) -> Self {
        Self { job, prompt, config, taken: 0 }
    }
}

#[wasm_bindgen]
impl Generation {
    /// Works until the next event and gives it; `undefined` when everything is done.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        next(self.job.next().await)
    }

    /// The pictures that are ready and were not taken yet, as PNG files that carry their settings.
    pub fn pictures(&mut self) -> Result<Array, JsValue> {
        let pictures = Array::new();
        for picture in self.job.take_pictures() {
            let config = &self.config;
            let text = [
                ("prompt", self.prompt.clone()),
                ("negative prompt", config.negative_prompt.clone()),
                ("seed", (config.seed + self.taken).to_string()),
                ("steps", config.steps.to_string()),
                ("guidance", config.guidance.to_string()),
                ("Software", concat!("pseudoword ", env!("CARGO_PKG_VERSION")).to_owned()),
            ];
            let text: Vec<(String, String)> = text
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            pictures.push(&Uint8Array::from(png(&picture, &text)?.as_slice()));
            self.taken += 1;
        }
        Ok(pictures)
    }
}
