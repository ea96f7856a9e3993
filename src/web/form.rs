//! What the page fills its forms with, before there is a model: defaults, and what can be chosen.

use serde::Serialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::plain;
use crate::config::{Kind, SampleConfig, SamplerKind, TrainConfig};
use crate::event::Part;
use crate::gpu::Precision;
use crate::source::settings::HUB;

/// Something that can be chosen.
#[derive(Serialize)]
struct Choice {
    value: &'static str,
    label: &'static str,
}

/// `{training, pictures, computing, kind, sampler, precision, parts, hub}`: the default configurations (fields as in settings
/// files), the choices `[{value, label}]` for three of their fields, what people call the parts of a model that events name, and
/// the Hub's address.
#[wasm_bindgen]
pub fn choices() -> Result<JsValue, JsValue> {
    let parts = Part::ALL.map(|part| json!({"value": part, "label": part.label()}));
    plain(&json!({
        "training": TrainConfig::default(),
        "pictures": SampleConfig::default(),
        "computing": {"precision": Precision::default().name()},
        "kind": Kind::ALL.map(|kind| Choice { value: kind.name(), label: kind.label() }),
        "sampler": SamplerKind::ALL.map(|sampler| Choice { value: sampler.name(), label: sampler.label() }),
        "precision": Precision::ALL.map(|precision| Choice { value: precision.name(), label: precision.label() }),
        "parts": parts,
        "hub": HUB,
    }))
}
