//! What the page fills its forms with, before there is a model: defaults, and what can be chosen.

use serde::Serialize;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::plain;
use crate::config::{Kind, PromptSyntax, SampleConfig, SamplerKind, TrainConfig};
use crate::embedding::Layout;
use crate::event::Part;
use crate::gpu::Precision;
use crate::source::settings::HUB;
use crate::weights::Storage;

/// Something that can be chosen.
#[derive(Serialize)]
struct Choice {
    value: &'static str,
    label: &'static str,
}

/// The samplers, those that can space their noise levels as Karras proposes also so: as a second word of the value.
fn samplers() -> Vec<Value> {
    let each = SamplerKind::ALL.into_iter().flat_map(|sampler| {
        let (value, label) = (sampler.name(), sampler.label());
        let karras = json!({"value": format!("{value} karras"), "label": format!("{label} Karras")});
        [Some(json!({"value": value, "label": label})), sampler.takes_karras().then_some(karras)]
    });
    each.flatten().collect()
}

/// A kind of file that embeddings can be written as.
#[derive(Serialize)]
struct FileFormat {
    value: &'static str,
    label: &'static str,
    ending: &'static str,
    /// For how many text encoders an embedding in such a file can have vectors.
    encoders: Vec<usize>,
}

/// `{training, pictures, computing, kind, sampler, prompt-syntax, precision, weights, parts, formats, formatsOfTwo, hub}`: the default configurations (fields as in
/// settings files), the choices `[{value, label}]` for some of their fields, what people call the parts of a model that events
/// name, the formats `[{value, label, ending, encoders}]` that embeddings can be written in (`formats` for models with one text encoder,
/// `formatsOfTwo` for SDXL), and the Hub's address.
#[wasm_bindgen]
pub fn choices() -> Result<JsValue, JsValue> {
    let parts = Part::ALL.map(|part| json!({"value": part, "label": part.label()}));
    let format = |layout: Layout| {
        let encoders = [1, 2].into_iter().filter(|count| layout.holds(*count)).collect();
        FileFormat { value: layout.key(), label: layout.name(), ending: layout.extension(), encoders }
    };
    let holding = |encoders: usize| Layout::ALL.into_iter().filter(move |layout| layout.holds(encoders)).map(format);
    let weights = ["auto", Storage::Q8.name(), Storage::F16.name()].map(|value| Choice { value, label: value });
    plain(&json!({
        "training": TrainConfig::default(),
        "pictures": SampleConfig::default(),
        "computing": {"precision": Precision::default().name(), "weights": "auto"},
        "kind": Kind::ALL.map(|kind| Choice { value: kind.name(), label: kind.label() }),
        "sampler": samplers(),
        "prompt-syntax": PromptSyntax::ALL.map(|syntax| Choice { value: syntax.name(), label: syntax.label() }),
        "precision": Precision::ALL.map(|precision| Choice { value: precision.name(), label: precision.label() }),
        "weights": weights,
        "parts": parts,
        "formats": holding(1).collect::<Vec<_>>(),
        "formatsOfTwo": holding(2).collect::<Vec<_>>(),
        "hub": HUB,
    }))
}
