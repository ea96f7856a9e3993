//! A word being learned.

use wasm_bindgen::prelude::*;

use serde_json::json;

use super::{next, plain, png, to_js};
use crate::train::{RunState, TrainJob};

/// A word being learned.
#[wasm_bindgen]
pub struct Training {
    job: TrainJob,
}

/// Of a run's state: `{step, steps}`. Throws if it is damaged.
#[wasm_bindgen(js_name = readState)]
pub fn read_state(bytes: &[u8]) -> Result<JsValue, JsValue> {
    let state = RunState::read(bytes, "what was saved of the run").map_err(to_js)?;
    plain(&json!({"step": state.step(), "steps": state.steps()}))
}

impl Training {
    pub(super) fn new(job: TrainJob) -> Self {
        Self { job }
    }
}

#[wasm_bindgen]
impl Training {
    /// Works until the next event and gives it; `undefined` when everything is done.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        next(self.job.next().await)
    }

    /// The preview that the last `preview` event told of, as a PNG; `undefined` if it was taken already.
    pub fn preview(&mut self) -> Result<Option<Vec<u8>>, JsValue> {
        self.job.take_preview().map(|(_, picture)| png(&picture, &[])).transpose()
    }

    /// Everything that moves, as a file to go on from.
    pub fn state(&self) -> Vec<u8> {
        self.job.state()
    }

    /// The vectors as they are now, row after row.
    pub fn rows(&self) -> Vec<f32> {
        self.job.embedding().rows().to_vec()
    }

    /// The word as it is now, as a file: `diffusers`, `diffusers-bin`, `a1111` or `kohya`.
    pub fn word(&self, format: &str) -> Result<Vec<u8>, JsValue> {
        super::engine::write(&self.job.embedding(), format)
    }
}
