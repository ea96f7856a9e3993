//! What the page shows of the model that is loaded, and what work with it, or with one that is not loaded yet, will need.

use js_sys::Object;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::engine::{Engine, settings, source_of, storage};
use super::files::Files;
use super::form::following;
use super::tools::Tools;
use super::{plain, to_js};
use crate::config::TrainConfig;
use crate::embedding::Embedding;
use crate::event::Part;
use crate::model::{ModelConfig, storage_of};
use crate::ops;
use crate::plan::PhaseNeed;
use crate::sample::usual_sizes;
use crate::train::{check_numbers, memory_plan, preview_stretches};
use crate::weights::WeightBytes;

#[wasm_bindgen]
impl Engine {
    /// What the page shows of the model: `{name, hash?, family, side, sides: [height, width], width, widths, room, clipLayers?, usual, settings: {learn, make}, usualFor,
    /// weights, parts: [{value, bytes}]}`: the picture's side in pixels that it was made for, the width of a word's vector for the first text encoder and for each, how many tokens fit into a
    /// stretch of a prompt, how many layers there are to take prompts from, where any but the model's own may be taken ([`ModelConfig::clip_layers`]), which sizes
    /// (`[width, height]`) pictures usually have beside its own, the settings that follow the model (`learn`: steps, vectors; `make`: steps, guidance, sampler), the family that they are usual for, and bytes of its weights as they are kept, of each part too (`value` as in [`choices`](super::choices)).
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
            "side": model.resolution(), "sides": model.picture_size(), "width": widths[0], "widths": widths, "room": model.prompt_length() - 2, "clipLayers": model.clip_layers(), "usual": usual_sizes(model),
            "settings": following(model), "usualFor": model.usual_family().name(),
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
        let stretches = preview_stretches(&config, self.session.tokenizers());
        let plan = memory_plan(&config, &self.session.model().config, self.weights, stretches, false).map_err(to_js)?;
        let phase = |need: &PhaseNeed| json!({"phase": need.phase, "label": need.phase.to_string(), "bytes": plan.during(*need)});
        plain(&json!({
            "bytes": plan.peak(), "weights": plan.weights.resident(), "beside": plan.beside(), "sentence": plan.sentence(),
            "phases": plan.phases.iter().map(phase).collect::<Vec<_>>(),
        }))
    }
}

#[wasm_bindgen]
impl Tools {
    /// What a model in files of this computer, as [`Engine::open`] takes them, will need of the graphics device's memory, before it is
    /// loaded with its `weights` kept in a way ([`storage`]): `{family, side, weights, need, least}`: bytes of its weights, and at the worst
    /// moment of a training with a configuration, also where each pass has one sample. Throws what is wrong with the files.
    pub async fn outlook(
        &self,
        name: String,
        files: Object,
        config: JsValue,
        weights: Option<String>,
    ) -> Result<JsValue, JsValue> {
        let config: TrainConfig = settings(&config)?;
        check_numbers(&config).map_err(to_js)?;
        // Whatever there is to say of the files is said while they are loaded.
        let source = source_of(Files::new(name, &files), &mut |_| ()).await.map_err(to_js)?;
        let model = ModelConfig::read(&*source).await.map_err(to_js)?;
        let storage = storage_of(&*source, storage(weights)?, true).await.map_err(to_js)?;
        let weights = WeightBytes::read(&*source, storage, &model.left_in_files()).await.map_err(to_js)?;
        let plan = |config: &TrainConfig| memory_plan(config, &model, weights, 1, false).map_err(to_js);
        let (plan, least) = (plan(&config)?, plan(&TrainConfig { batch_size: Some(1), ..config.clone() })?);
        plain(&json!({
            "family": Embedding::family(&model.word_widths()), "side": model.resolution(),
            "weights": plan.weights.resident(), "need": plan.peak(), "least": least.peak(),
        }))
    }
}
