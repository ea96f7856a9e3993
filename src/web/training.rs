//! A word being learned.

use wasm_bindgen::prelude::*;

use super::{next, png};
use crate::train::TrainJob;

/// A word being learned.
#[wasm_bindgen]
pub struct Training {
    job: TrainJob,
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

    /// The vectors as they are now, row after row.
    pub fn rows(&self) -> Vec<f32> {
        self.job.embedding().rows
    }

    /// The word as it is now, as a file: `diffusers`, `diffusers-bin`, `a1111` or `kohya`.
    pub fn word(&self, format: &str) -> Result<Vec<u8>, JsValue> {
        super::engine::write(&self.job.embedding(), format)
    }
}
