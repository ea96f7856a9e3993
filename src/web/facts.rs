//! What the page shows of the model that is loaded, and what work with it will need.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::engine::{Engine, settings};
use super::{plain, to_js};
use crate::config::TrainConfig;
use crate::embedding::Embedding;
use crate::event::Part;
use crate::ops;
use crate::plan::PhaseNeed;
use crate::train::{check_numbers, memory_plan};

#[wasm_bindgen]
impl Engine {
    /// What the page shows of the model: `{name, hash?, family, side, sides: [height, width], width, widths, room, weights, parts: [{value,
    /// bytes}]}`: the picture's side in pixels that it was made for, the width of a word's vector for the first text encoder and for each, how many tokens of a prompt fit,
    /// and bytes of its weights as they are kept, of each part too (`value` as in [`choices`](super::choices)).
    pub fn facts(&self) -> Result<JsValue, JsValue> {
        let (model, weights) = (&self.session.model().config, &self.weights);
        let widths = model.word_widths();
        let parts = [
            (Part::TextEncoder, weights.text + weights.tables),
            (Part::Unet, weights.unet),
            (Part::Vae, weights.encoder + weights.decoder),
        ];
        plain(&json!({
            "name": self.model.name, "hash": self.model.hash, "family": Embedding::family(&widths),
            "side": model.resolution(), "sides": model.picture_size(), "width": widths[0], "widths": widths, "room": model.prompt_length() - 2,
            "weights": parts.iter().map(|(_, bytes)| bytes).sum::<u64>(),
            "parts": parts.map(|(part, bytes)| json!({"value": part, "bytes": bytes})),
        }))
    }

    /// Bytes of the graphics device's memory that the engine holds in buffers now: weights, values, and what is kept for more of
    /// them. A job that works at the same time is not disturbed.
    #[wasm_bindgen(js_name = memoryHeld)]
    pub fn memory_held(&self) -> Option<f64> {
        ops::held(&self.session.model().device).map(|bytes| bytes as f64)
    }

    /// What memory a training with a configuration will need by plan: `{bytes, weights, beside, phases: [{phase, label, bytes}],
    /// sentence}`. `bytes` is the graphics device's memory at the worst moment, `weights` how much of it are weights, that of a
    /// phase everything that lies there while it lasts; `beside` is the processor's memory.
    pub fn need(&self, config: JsValue) -> Result<JsValue, JsValue> {
        let config: TrainConfig = settings(&config)?;
        check_numbers(&config).map_err(to_js)?;
        let plan = memory_plan(&config, &self.session.model().config, self.weights, false).map_err(to_js)?;
        let phase = |need: &PhaseNeed| json!({"phase": need.phase, "label": need.phase.to_string(), "bytes": plan.during(*need)});
        plain(&json!({
            "bytes": plan.peak(), "weights": plan.weights.resident(), "beside": plan.beside(), "sentence": plan.sentence(),
            "phases": plan.phases.iter().map(phase).collect::<Vec<_>>(),
        }))
    }
}
