//! The CLIP text encoder.
//!
//! Token embeddings enter, hidden states leave; follows `CLIPTextModel` and `CLIPTextModelWithProjection` of transformers
//! (`models/clip/modeling_clip.py`). Names of fields are names of weights.

use burn::tensor::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::json::{MOST_CHANNELS, MOST_LAYERS, check_counts, from_fields, standard};
use crate::base::math::median;
use crate::ops::{self, Linear, Mlp, MlpActivation, Norm, NormedLinears, Var};
use crate::ops::{attention, attention_past, layer_norm, linear, linear_add, mlp, normed_linears, take_rows};
use crate::parts::{Architecture, Part};
use crate::weights::{HostTable, Weights};
use crate::{Error, Result};

/// The fields of `text_encoder/config.json` that decide the computation; what is left out is as in transformers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Rows of the token table.
    pub vocab_size: usize,
    /// Width of an embedding.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of attention.
    pub num_attention_heads: usize,
    /// Tokens in a prompt, start and end included.
    pub max_position_embeddings: usize,
    /// `quick_gelu` (OpenAI's CLIP) or `gelu` (OpenCLIP).
    pub hidden_act: String,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Width of the pooled vector, where there is one.
    pub projection_dim: usize,
    /// Which token ends a prompt, as far as transformers' pooling goes: 2 in files from before transformers 4.31, for which it
    /// takes the largest id of a prompt instead.
    pub eos_token_id: u32,
}

/// What a model takes of a text encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The hidden states after the final layer norm.
    LastStates,
    /// The hidden states before the last layer, without any norm (`hidden_states[-2]` in transformers).
    PenultimateStates,
    /// The same and, of all layers, a vector for the whole prompt: its state at the end token, projected.
    PenultimateStatesAndPooled,
}

impl Taken {
    /// What a model takes of one of its text encoders.
    pub fn of(architecture: Architecture, encoder: Part) -> Self {
        match (architecture, encoder) {
            (Architecture::Sd, _) => Taken::LastStates,
            (Architecture::Sdxl, Part::TextEncoder2) => Taken::PenultimateStatesAndPooled,
            (Architecture::Sdxl, _) => Taken::PenultimateStates,
        }
    }

    /// How many of an encoder's layers are needed for it.
    pub fn layers(self, config: &ClipTextConfig) -> usize {
        match self {
            Taken::LastStates | Taken::PenultimateStatesAndPooled => config.num_hidden_layers,
            Taken::PenultimateStates => config.num_hidden_layers.saturating_sub(1),
        }
    }

    /// Beginnings of the names of an encoder's weights that are not needed for it.
    pub fn leaves(self, config: &ClipTextConfig) -> Vec<String> {
        if self != Taken::PenultimateStates {
            return Vec::new();
        }
        let layers = (self.layers(config)..config.num_hidden_layers).map(|i| format!("encoder.layers.{i}."));
        let names = layers.chain(["final_layer_norm.".to_owned()]);
        names.flat_map(|name| [format!("text_model.{name}"), name]).collect()
    }
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
            eos_token_id: 49407,
        }
    }
}

impl ClipTextConfig {
    /// Reads and checks the JSON text.
    ///
    /// # Errors
    /// [`Error::BadConfig`] if a field is not what it should be, or asks for something that this encoder does not do.
    pub fn from_json(text: &str, file: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadConfig { file: file.to_owned(), reason };
        let mut fields: Map<String, Value> =
            serde_json::from_str(&standard(text)).map_err(|error| bad(error.to_string()))?;
        // Of a CLIP with both of its halves this one is described inside.
        if let Some(Value::Object(own)) = fields.remove("text_config") {
            fields = own;
        }
        let (config, _) = from_fields::<Self>(fields).map_err(bad)?;
        if !matches!(config.hidden_act.as_str(), "quick_gelu" | "gelu") {
            return Err(bad(format!("hidden_act {:?} is not known: expected quick_gelu or gelu", config.hidden_act)));
        }
        config.check_counts().map_err(bad)?;
        let heads = config.num_attention_heads;
        if heads == 0 || !config.hidden_size.is_multiple_of(heads) {
            return Err(bad(format!("hidden_size {} does not divide into {heads} heads", config.hidden_size)));
        }
        if config.max_position_embeddings < 3 {
            return Err(bad("max_position_embeddings must leave room for a start, an end and a word".to_owned()));
        }
        Ok(config)
    }

    fn check_counts(&self) -> Result<(), String> {
        /// Several times the tokens of any model.
        const MOST_TOKENS: usize = 1 << 20;
        check_counts(&[
            ("vocab_size", self.vocab_size, MOST_TOKENS),
            ("hidden_size", self.hidden_size, MOST_CHANNELS),
            ("intermediate_size", self.intermediate_size, MOST_CHANNELS),
            ("num_hidden_layers", self.num_hidden_layers, MOST_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MOST_CHANNELS),
            ("max_position_embeddings", self.max_position_embeddings, MOST_CHANNELS),
            ("projection_dim", self.projection_dim, MOST_CHANNELS),
        ])
    }
}

/// The encoder with its weights.
#[derive(Clone)]
pub struct ClipTextModel {
    /// The token embeddings, `[vocab_size, hidden_size]`: on the host, since a prompt needs only a few rows.
    pub token_embedding: HostTable,
    position_embedding: Tensor<2>,
    layers: Vec<Layer>,
    /// How many layers make the hidden states.
    for_states: usize,
    /// Where all layers are used.
    final_layer_norm: Option<Norm>,
    /// Where a vector for the whole prompt is wanted.
    text_projection: Option<Linear>,
}

/// How the encoder is run.
#[derive(Clone, Default)]
pub struct Manner {
    /// Whether layers are run again in the backward pass instead of being remembered.
    pub recompute: bool,
    /// How many of the last layers are left out, where the states after them would be taken.
    pub left_out: usize,
    /// Which tokens no other sees: `[B, T]`, 1 for these and 0 for the others. No gradient goes through an encoder with any.
    pub hidden: Option<Tensor<2>>,
}

/// What an encoder makes of prompts.
pub struct Encoded {
    /// `[B, T, D]`.
    pub states: Var<3>,
    /// A vector for each prompt, `[B, P]`, where the model takes one.
    pub pooled: Option<Var<2>>,
}

#[derive(Clone)]
struct Layer {
    /// Queries, keys and values of the normalised input.
    projections: NormedLinears,
    out_proj: Linear,
    mlp: Mlp,
    heads: usize,
}

impl Layer {
    async fn load(weights: Weights<'_>, config: &ClipTextConfig) -> Result<Self> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let (attn, layers) = (weights.at("self_attn"), weights.at("mlp"));
        let norm = async |name| weights.norm(name, width, 1, eps).await;
        let projections = attn.linears(&["q_proj", "k_proj", "v_proj"].map(|name| (name, width)), width, true).await?;
        let first = layers.linear("fc1", width, inner, true).await?;
        let second = layers.linear("fc2", inner, width, true).await?;
        let activation = if config.hidden_act == "quick_gelu" { MlpActivation::QuickGelu } else { MlpActivation::Gelu };
        Ok(Self {
            projections: NormedLinears::new(norm("layer_norm1").await?, projections),
            out_proj: attn.linear("out_proj", width, width, true).await?,
            mlp: Mlp::new(norm("layer_norm2").await?, first, activation, second),
            heads: config.num_attention_heads,
        })
    }

    fn run(&self, x: &Var<3>, manner: &Manner) -> Var<3> {
        if !manner.recompute {
            return self.forward(x, manner.hidden.as_ref());
        }
        let (layer, hidden) = (self.clone(), manner.hidden.clone());
        ops::recompute((x, x, x), move |x: &Var<3>, _: &Var<3>, _: &Var<3>| layer.forward(x, hidden.as_ref()))
    }

    fn forward(&self, x: &Var<3>, hidden: Option<&Tensor<2>>) -> Var<3> {
        let projected = normed_linears(x, &self.projections);
        let [q, k, v] = &projected[..] else { unreachable!("three were loaded") };
        let seen = match hidden {
            None => attention(q, k, v, self.heads, true),
            Some(hidden) => Var::constant(attention_past(q.value(), k.value(), v.value(), self.heads, hidden)),
        };
        let x = linear_add(&seen, &self.out_proj, x);
        mlp(&x, &self.mlp)
    }
}

impl ClipTextModel {
    /// Loads what is `taken` of the encoder. Files have a `text_model.` prefix (Stable Diffusion 1.x) or none (transformers 5).
    pub async fn load(weights: &Weights<'_>, config: &ClipTextConfig, taken: Taken) -> Result<Self> {
        let outer = weights;
        let weights = &if weights.at("text_model.embeddings.token_embedding").has("weight") {
            weights.at("text_model")
        } else {
            weights.clone()
        };
        let embeddings = weights.at("embeddings");
        // A buffer that old checkpoints saved: the numbers 0..76.
        embeddings.ignore("position_ids");
        let (vocab, width) = (config.vocab_size, config.hidden_size);
        let token_embedding = embeddings.host_table("token_embedding.weight", vocab, width).await?;
        let positions = [config.max_position_embeddings, width];
        let position_embedding = embeddings.tensor("position_embedding.weight", positions).await?.f32();
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for i in 0..taken.layers(config) {
            layers.push(Layer::load(weights.at("encoder.layers").at(i), config).await?);
        }
        let final_layer_norm = match taken {
            Taken::PenultimateStates => None,
            _ => Some(weights.norm("final_layer_norm", width, 1, config.layer_norm_eps).await?),
        };
        let text_projection = match taken {
            Taken::PenultimateStatesAndPooled => {
                Some(outer.linear("text_projection", width, config.projection_dim, false).await?)
            }
            _ => None,
        };
        let for_states = match taken {
            Taken::LastStates => layers.len(),
            _ => config.num_hidden_layers.saturating_sub(1),
        };
        Ok(Self { token_embedding, position_embedding, layers, for_states, final_layer_norm, text_projection })
    }

    /// What it makes of token embeddings `[B, T, D]`. `ends` are the places of the tokens that the vector of a prompt is taken
    /// from.
    pub fn forward(&self, embeddings: &Var<3>, ends: &[usize], manner: &Manner) -> Encoded {
        let [batch, length, _] = embeddings.dims();
        let positions = self.position_embedding.clone().narrow(0, 0, length).unsqueeze::<3>().repeat_dim(0, batch);
        let mut x = embeddings.add(&Var::constant(positions));
        let (of_states, others) = self.layers.split_at(self.for_states);
        for layer in &of_states[..of_states.len().saturating_sub(manner.left_out)] {
            x = layer.run(&x, manner);
        }
        let Some(norm) = &self.final_layer_norm else { return Encoded { states: x, pooled: None } };
        let Some(projection) = &self.text_projection else {
            return Encoded { states: layer_norm(&x, norm), pooled: None };
        };
        let last = others.iter().fold(x.clone(), |x, layer| layer.run(&x, manner));
        let pooled = linear(&layer_norm(&take_rows(&last, ends), norm), projection);
        Encoded { states: x, pooled: Some(pooled) }
    }

    /// Mean Euclidean norm of the rows of the token table that are not zero.
    pub fn mean_row_norm(&self) -> f64 {
        let norms = self.token_embedding.row_norms();
        norms.iter().sum::<f64>() / norms.len().max(1) as f64
    }

    /// Median of the same norms: how long the vector of a word usually is.
    pub fn median_row_norm(&self) -> f64 {
        let mut norms = self.token_embedding.row_norms();
        norms.sort_unstable_by(f64::total_cmp);
        median(&norms).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_be_inside_of_another_and_leave_out_what_is_usual() {
        let read = |text: &str| ClipTextConfig::from_json(text, "config.json");
        let given = r#"{"hidden_size": 24, "num_attention_heads": 2, "dtype": "float32", "layer_norm_eps": 0.001}"#;
        let config = read(given).unwrap();
        assert_eq!((config.vocab_size, config.hidden_size, config.layer_norm_eps), (49408, 24, 0.001));
        assert_eq!(read(&format!(r#"{{"model_type": "clip", "text_config": {given}}}"#)).unwrap(), config);
        assert_eq!(read(&given.replace("24", "24.0")).unwrap(), config);
        assert!(read(r#"{"hidden_size": "24"}"#).unwrap_err().to_string().contains("hidden_size is \"24\""));
        for bad in ["[", r#"{"hidden_act": "relu"}"#, r#"{"hidden_size": "24"}"#, r#"{"hidden_size": 30}"#] {
            assert!(matches!(read(bad), Err(Error::BadConfig { .. })), "{bad}");
        }
    }
}
