//! `pseudoword models`: what a model is made of.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::args::Shared;
use super::load::ModelId;
use super::locate;
use super::output::Output;
use crate::Result;
use crate::base::bytes::size;
use crate::config::SamplerKind;
use crate::embedding::Embedding;
use crate::model::ModelConfig;
use crate::parts::Part;
use crate::schedule::{PredictionType, Sampler};
use crate::source::Source;
use crate::weights::{Header, files};

/// Describes the built-in model, and then the one given with --model.
pub(super) async fn run(shared: &Shared, out: &mut Output) -> Result<()> {
    if shared.model.is_some() {
        let here = Shared { model: None, base: None, prediction_type: None, ..shared.clone() };
        describe(&*locate::model(&here, out).await?, out).await?;
        out.line("")?;
    }
    describe(&*locate::model(shared, out).await?, out).await
}

async fn describe(source: &dyn Source, out: &mut Output) -> Result<()> {
    let config = ModelConfig::read(source).await?;
    let id = ModelId::of(source).await?;
    let mut parts = Vec::new();
    for part in Part::WITH_WEIGHTS {
        parts.push((part, weights(source, part).await?));
    }
    let (text, unet, vae) = (config.text(), &config.unet, &config.vae);
    let prediction = match config.scheduler.prediction_type {
        PredictionType::Epsilon => "epsilon",
        PredictionType::VPrediction => "v-prediction",
    };
    let works = |kind: &SamplerKind| Sampler::new(*kind, false, &config.scheduler, 25).is_ok();
    let samplers: Vec<&str> = SamplerKind::ALL.into_iter().filter(works).map(SamplerKind::name).collect();
    let latents = vae.pixels_per_latent();
    let (resolution, family) = (config.resolution(), Embedding::family(text.hidden_size));

    let mut lines = vec![
        source.name(),
        format!("  pictures      {resolution} x {resolution} pixels, in steps of {}", config.size_step()),
        format!(
            "  words         {} wide ({family}), {} in a prompt",
            text.hidden_size,
            text.max_position_embeddings - 2
        ),
        format!("  vocabulary    {} tokens", text.vocab_size),
        format!(
            "  text encoder  {} layers, {} heads, {}",
            text.num_hidden_layers, text.num_attention_heads, text.hidden_act
        ),
        format!("  U-Net         {:?} channels, predicts {}", unet.block_out_channels, prediction),
        format!("  autoencoder   {:?} channels, {latents} pixels to a latent", vae.block_out_channels),
        format!("  samplers      {}", samplers.join(", ")),
    ];
    for (name, weights) in &parts {
        lines.push(match weights {
            Some(Weights { file, bytes, parameters, types }) => {
                format!(
                    "  weights       {name}: {} parameters, {} ({types}), {file}",
                    millions(*parameters),
                    size(*bytes)
                )
            }
            None => format!("  weights       {name}: MISSING"),
        });
    }
    lines.extend(id.hash.as_ref().map(|hash| format!("  identity      {hash} (SHA-256 of the U-Net)")));
    let parts: serde_json::Map<String, Value> = parts
        .iter()
        .map(|(part, weights)| (part.folder().to_owned(), weights.as_ref().map_or(Value::Null, Weights::to_json)))
        .collect();
    let object = json!({
        "event": "model", "name": id.name, "hash": id.hash, "resolution": resolution, "size_step": config.size_step(),
        "width": text.hidden_size, "prompt_tokens": text.max_position_embeddings - 2, "vocabulary": text.vocab_size,
        "prediction": prediction, "pixels_per_latent": latents, "samplers": samplers, "parts": parts,
    });
    out.result(&lines.join("\n"), &object)
}

/// What a weight file holds.
struct Weights {
    file: String,
    bytes: u64,
    parameters: u64,
    /// The types of the tensors.
    types: String,
}

impl Weights {
    fn to_json(&self) -> Value {
        json!({"file": self.file, "bytes": self.bytes, "parameters": self.parameters, "types": self.types})
    }
}

async fn weights(source: &dyn Source, part: Part) -> Result<Option<Weights>> {
    let Some(paths) = files::find(source, part).await? else { return Ok(None) };
    let (mut bytes, mut parameters, mut types) = (0, 0, BTreeSet::new());
    for path in &paths {
        let length = source.length(path).await?.unwrap_or(0);
        let header = Header::read(source, path, length).await?;
        bytes += length;
        parameters += header.tensors().map(|entry| entry.shape.iter().product::<u64>()).sum::<u64>();
        types.extend(header.tensors().map(|entry| entry.dtype.to_lowercase()));
    }
    let types = types.into_iter().collect::<Vec<_>>().join(", ");
    Ok(Some(Weights { file: paths.join(", "), bytes, parameters, types }))
}

fn millions(count: u64) -> String {
    format!("{:.2} million", count as f64 / 1e6)
}
