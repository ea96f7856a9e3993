//! `pseudoword models`: what a model is made of.

pub(super) mod convert;

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value, json};

use super::args::{ModelsCommand, Shared};
use super::load::ModelId;
use super::locate;
use super::output::Output;
use crate::Result;
use crate::base::bytes::size;
use crate::config::SamplerKind;
use crate::embedding::{Embedding, shown};
use crate::model::{ModelConfig, OpenedModel};
use crate::parts::{Architecture, Part};
use crate::schedule::{PredictionType, Sampler, TimestepSpacing};
use crate::source::{Source, architecture};
use crate::text::Tokenizers;
use crate::weights::{Header, Stored, files, packed};

/// Steps with which a sampler is tried.
const STEPS: usize = 25;

/// Describes the built-in model, and then the one given with --model; or converts one.
pub(super) async fn run(command: Option<&ModelsCommand>, shared: &Shared, out: &mut Output) -> Result<()> {
    if let Some(ModelsCommand::Convert(args)) = command {
        return convert::run(args, shared, out).await;
    }
    if shared.model.is_some() {
        let here = Shared { model: None, base: None, prediction_type: None, ..shared.clone() };
        describe(locate::model(&here, out).await?, out).await?;
        out.line("")?;
    }
    describe(locate::model(shared, out).await?, out).await
}

async fn describe(source: Rc<dyn Source>, out: &mut Output) -> Result<()> {
    let mut weights = Vec::new();
    for part in architecture(&*source).await?.with_weights() {
        weights.push((part, Weights::read(&*source, part).await?));
    }
    // With all tokenizers, as whoever uses it does.
    let OpenedModel { source, config, tokenizers } = OpenedModel::read(source).await?;
    let description =
        Description { name: source.name(), id: ModelId::of(&*source).await?, config, tokenizers, weights };
    out.result(&description.lines(), &description.to_json())
}

/// What there is to say about a model.
struct Description {
    /// The name of its folder or file, as it was given.
    name: String,
    id: ModelId,
    config: ModelConfig,
    tokenizers: Tokenizers,
    /// Of each part that has any; none where they are missing.
    weights: Vec<(Part, Option<Weights>)>,
}

impl Description {
    /// The samplers that can be used with it.
    fn samplers(&self) -> Vec<&'static str> {
        let works = |kind: &SamplerKind| Sampler::new(*kind, false, &self.config.scheduler, STEPS).is_ok();
        SamplerKind::ALL.into_iter().filter(works).map(SamplerKind::name).collect()
    }

    fn prediction(&self) -> &'static str {
        match self.config.scheduler.prediction_type {
            PredictionType::Epsilon => "epsilon",
            PredictionType::VPrediction => "v-prediction",
        }
    }

    /// Whether it is made as SDXL is.
    fn is_sdxl(&self) -> bool {
        self.config.architecture == Architecture::Sdxl
    }

    /// What stands for a negative prompt that is empty, where the user does not choose.
    fn empty_negative(&self) -> &'static str {
        if self.config.force_zeros { "zeros" } else { "encoded" }
    }

    /// The timesteps that its noise schedule asks for, as far as it does, and what is special about it.
    fn schedule(&self) -> String {
        let scheduler = &self.config.scheduler;
        let spacing = scheduler.timestep_spacing.map_or("as the sampler", TimestepSpacing::name);
        let zero = if scheduler.rescale_betas_zero_snr { ", zero terminal SNR" } else { "" };
        format!("{} timesteps, spacing {spacing}{zero}", scheduler.num_train_timesteps)
    }

    /// For people.
    fn lines(&self) -> Vec<String> {
        let config = &self.config;
        let (unet, vae, widths, [high, wide]) =
            (&config.unet, &config.vae, config.word_widths(), config.picture_size());
        let sides = if high == wide { "" } else { ", height by width" };
        let (family, latents) = (Embedding::family(&widths), vae.pixels_per_latent());
        let widths = widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let mut lines = vec![
            self.name.clone(),
            format!("  pictures      {high} x {wide} pixels{sides}, in steps of {}", config.size_step()),
            format!(
                "  embeddings    {widths} wide ({family}), up to {} vectors in a prompt",
                config.prompt_length() - 2
            ),
        ];
        for (text, number) in config.text_encoders.iter().zip(["first", "second"]) {
            let (layers, heads, act) = (text.num_hidden_layers, text.num_attention_heads, &text.hidden_act);
            let which = if self.is_sdxl() { format!(" (the {number})") } else { String::new() };
            lines.push(format!("  vocabulary    {} tokens{which}", text.vocab_size));
            lines.push(format!("  text encoder  {layers} layers, {heads} heads, {act}{which}"));
        }
        if self.is_sdxl() {
            lines.push(format!("  empty negative prompt: {} (--empty-negative)", self.empty_negative()));
        }
        let words: Vec<String> =
            self.tokenizers.first().own_words().map(|(token, vectors)| listed(token, vectors)).collect();
        if !words.is_empty() {
            lines.push(format!("  words inside  {}", words.join(", ")));
        }
        lines.push(format!("  U-Net         {:?} channels, predicts {}", unet.block_out_channels, self.prediction()));
        lines.push(format!("  autoencoder   {:?} channels, {latents} pixels to a latent", vae.block_out_channels));
        lines.push(format!("  schedule      {}", self.schedule()));
        lines.push(format!("  samplers      {}", self.samplers().join(", ")));
        for (part, weights) in &self.weights {
            let weights = weights.as_ref().map_or_else(|| "MISSING".to_owned(), Weights::line);
            lines.push(format!("  weights       {part}: {weights}"));
        }
        lines.extend(self.id.hash.as_ref().map(|hash| format!("  identity      {hash} (SHA-256 of the U-Net)")));
        lines
    }

    /// For programs.
    fn to_json(&self) -> Value {
        let (config, id) = (&self.config, &self.id);
        let part = |(part, weights): &(Part, Option<Weights>)| {
            (part.folder().to_owned(), weights.as_ref().map_or(Value::Null, Weights::to_json))
        };
        let word = |(token, vectors): (&str, usize)| json!({"token": token, "vectors": vectors});
        json!({
            "event": "model", "name": id.name, "hash": id.hash, "resolution": config.resolution(),
            "sides": config.picture_size(),
            "size_step": config.size_step(), "width": config.text().hidden_size, "widths": config.word_widths(), "prompt_tokens": config.prompt_length() - 2,
            "vocabulary": config.text().vocab_size, "prediction": self.prediction(),
            "words": self.tokenizers.first().own_words().map(word).collect::<Vec<_>>(),
            "pixels_per_latent": config.vae.pixels_per_latent(), "samplers": self.samplers(),
            "architecture": if self.is_sdxl() { "sdxl" } else { "sd" },
            "empty_negative": self.is_sdxl().then(|| self.empty_negative()),
            "spacing": config.scheduler.timestep_spacing.map(TimestepSpacing::name),
            "zero_terminal_snr": config.scheduler.rescale_betas_zero_snr,
            "parts": self.weights.iter().map(part).collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// A word that a model has inside, for people.
fn listed(token: &str, vectors: usize) -> String {
    if vectors == 1 { shown(token).to_string() } else { format!("{} ({vectors} vectors)", shown(token)) }
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
    fn line(&self) -> String {
        let Self { file, bytes, parameters, types } = self;
        format!("{:.2} million parameters, {} ({types}), {file}", *parameters as f64 / 1e6, size(*bytes))
    }

    fn to_json(&self) -> Value {
        json!({"file": self.file, "bytes": self.bytes, "parameters": self.parameters, "types": self.types})
    }

    /// Reads the headers of a part's files; none if there are no files.
    async fn read(source: &dyn Source, part: Part) -> Result<Option<Self>> {
        let Some(paths) = files::find(source, part).await? else { return Ok(None) };
        let (mut bytes, mut parameters, mut types) = (0, 0, BTreeSet::new());
        for path in &paths {
            let length = source.length(path).await?.unwrap_or(0);
            let header = Header::read(source, path, length).await?;
            bytes += length;
            for entry in header.tensors().filter(|entry| !packed::is_scales(&header, &entry.name)) {
                parameters += entry.shape.iter().product::<u64>();
                types.insert(match header.get(&packed::scales_of(&entry.name)) {
                    Some(_) if entry.dtype == packed::TYPE => Stored::Q8.name().to_owned(),
                    _ => entry.dtype.to_lowercase(),
                });
            }
        }
        let types = types.into_iter().collect::<Vec<_>>().join(", ");
        Ok(Some(Self { file: paths.join(", "), bytes, parameters, types }))
    }
}
