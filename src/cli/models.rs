//! `pseudoword models`: what a model is made of.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::args::Shared;
use super::find;
use super::label::option_name;
use super::open::ModelId;
use super::output::Output;
use crate::Result;
use crate::config::SamplerKind;
use crate::embedding::Embedding;
use crate::model::ModelConfig;
use crate::schedule::{PredictionType, Sampler};
use crate::source::Source;
use crate::weights::Header;

/// The folders that hold weights, and what they are called.
const PARTS: [(&str, &str); 3] = [("text_encoder", "text encoder"), ("unet", "U-Net"), ("vae", "autoencoder")];

/// Describes the model that is asked for, after the one in the program.
pub(super) async fn run(shared: &Shared, out: &mut Output) -> Result<()> {
    if shared.model.is_some() {
        let here = Shared { model: None, ..shared.clone() };
        describe(&*find::model(&here, out).await?, out).await?;
        out.told("")?;
    }
    describe(&*find::model(shared, out).await?, out).await
}

async fn describe(source: &dyn Source, out: &mut Output) -> Result<()> {
    let config = ModelConfig::read(source).await?;
    let id = ModelId::of(source).await?;
    let mut parts = Vec::new();
    for (folder, name) in PARTS {
        parts.push((folder, name, weights(source, folder).await?));
    }
    let (text, unet, vae) = (&config.text, &config.unet, &config.vae);
    let prediction = match config.scheduler.prediction_type {
        PredictionType::Epsilon => "epsilon",
        PredictionType::VPrediction => "v-prediction",
    };
    let works = |kind: &SamplerKind| Sampler::new(*kind, false, &config.scheduler, 25).is_ok();
    let samplers: Vec<String> =
        SamplerKind::value_variants().iter().filter(|kind| works(kind)).map(option_name).collect();
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
    for (_, name, weights) in &parts {
        lines.push(match weights {
            Some(Weights { file, bytes, parameters, types }) => {
                format!(
                    "  weights       {name}: {} parameters, {} ({types}), {file}",
                    millions(*parameters),
                    megabytes(*bytes)
                )
            }
            None => format!("  weights       {name}: MISSING"),
        });
    }
    lines.extend(id.hash.as_ref().map(|hash| format!("  identity      {hash} (SHA-256 of the U-Net)")));
    let parts: serde_json::Map<String, Value> = parts
        .iter()
        .map(|(folder, _, weights)| ((*folder).to_owned(), weights.as_ref().map_or(Value::Null, Weights::to_json)))
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

async fn weights(source: &dyn Source, folder: &str) -> Result<Option<Weights>> {
    let stem = if folder == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
    for end in ["safetensors", "fp16.safetensors"] {
        let file = format!("{folder}/{stem}.{end}");
        let Some(bytes) = source.length(&file).await? else { continue };
        let header = Header::read(source, &file, bytes).await?;
        let infos: Vec<_> = header.names().filter_map(|name| header.get(name)).collect();
        let parameters = infos.iter().map(|info| info.shape.iter().product::<usize>() as u64).sum();
        let mut types: Vec<String> = infos.iter().map(|info| format!("{:?}", info.dtype).to_lowercase()).collect();
        types.sort();
        types.dedup();
        return Ok(Some(Weights { file, bytes, parameters, types: types.join(", ") }));
    }
    Ok(None)
}

fn millions(count: u64) -> String {
    format!("{:.2} million", count as f64 / 1e6)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
