//! What the page fills its forms with, before there is a model: defaults, and what can be chosen.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::plain;
use crate::config::{Kind, PromptSyntax, SampleConfig, SamplerKind, TrainConfig};
use crate::embedding::{Layout, ModelFamily};
use crate::event::Part;
use crate::gpu::Precision;
use crate::model::ModelConfig;
use crate::sample::decided;
use crate::source::settings::HUB;
use crate::train::usual;
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

/// The settings that follow the model where nothing else was typed, by the form that they are in.
pub(super) fn following(model: &ModelConfig) -> Value {
    let training = usual::decided(&TrainConfig::default(), model);
    let pictures = decided(&SampleConfig::default(), model);
    json!({
        "learn": {"steps": training.steps(), "vectors": training.vectors()},
        "make": {"steps": pictures.steps(), "guidance": pictures.guidance(), "sampler": pictures.sampler_and_spacing()},
    })
}

/// The settings that the forms begin with, by form: those of the mini model, which is the one that is loaded where nothing else is.
fn beginning() -> Value {
    let (training, pictures) = (ModelFamily::Mini.training(), ModelFamily::Mini.sampling());
    let learn = TrainConfig { steps: Some(training.steps), vectors: Some(training.vectors), ..TrainConfig::default() };
    let make = SampleConfig {
        steps: Some(pictures.steps),
        guidance: Some(pictures.guidance),
        sampler: Some(pictures.sampler),
        ..SampleConfig::default()
    };
    json!({
        "learn": learn, "make": make,
        "computing": {"precision": Precision::default().name(), "weights": "auto"},
    })
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

/// `{settings: {learn, make, computing}, usualFor, steps, kind, sampler, prompt-syntax, precision, weights, parts, formats, formatsOfTwo, hub}`: the settings that
/// forms begin with (fields as in settings files), the family of models that they are usual for, the steps of learning that are usual for each family of models by its [short name](ModelFamily::short),
/// the choices `[{value, label}]` for some settings, what people call the parts of a model that events
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
        "settings": beginning(), "usualFor": ModelFamily::Mini.name(),
        "steps": ModelFamily::ALL.map(|family| (family.short(), family.training().steps)).into_iter().collect::<BTreeMap<_, _>>(),
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
