//! What `unet/config.json` says.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Fields of `UNet2DConditionModel` for computations that are not done here, the value that means their absence, and
/// which models have another. A field that is not known at all is ignored: files carry many that decide nothing.
const OTHERWISE: [(&str, &str, &str); 22] = [
    ("addition_embed_type", "null", "SDXL"),
    ("attention_type", "default", "GLIGEN"),
    ("center_input_sample", "false", ""),
    ("class_embed_type", "null", ""),
    ("conv_in_kernel", "3", ""),
    ("conv_out_kernel", "3", ""),
    ("cross_attention_norm", "null", ""),
    ("dual_cross_attention", "false", ""),
    ("encoder_hid_dim", "null", ""),
    ("encoder_hid_dim_type", "null", ""),
    ("mid_block_only_cross_attention", "null", ""),
    ("mid_block_scale_factor", "1", ""),
    ("num_class_embeds", "null", "upscalers"),
    ("only_cross_attention", "false", ""),
    ("resnet_out_scale_factor", "1", ""),
    ("resnet_skip_time_act", "false", ""),
    ("resnet_time_scale_shift", "default", ""),
    ("reverse_transformer_layers_per_block", "null", ""),
    ("time_cond_proj_dim", "null", "LCM"),
    ("time_embedding_act_fn", "null", ""),
    ("time_embedding_type", "positional", ""),
    ("timestep_post_act", "null", ""),
];

/// One number for all levels, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same everywhere.
    All(usize),
    /// Level by level, from the outside in.
    Each(Vec<usize>),
}

impl PerLevel {
    /// The number at a level.
    pub fn at(&self, level: usize) -> usize {
        match self {
            PerLevel::All(value) => *value,
            PerLevel::Each(values) => values[level],
        }
    }
}

/// The fields of `UNet2DConditionModel`'s configuration that decide the computation, with diffusers' defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct UnetConfig {
    /// Side of the latents that the model was trained on.
    pub sample_size: Option<usize>,
    /// Channels of the latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Classes of the down blocks.
    pub down_block_types: Vec<String>,
    /// Block class in the middle.
    pub mid_block_type: Option<String>,
    /// Classes of the up blocks.
    pub up_block_types: Vec<String>,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks in a down level; an up level has one more.
    pub layers_per_block: PerLevel,
    /// Width of the text encoder's hidden states.
    pub cross_attention_dim: PerLevel,
    /// In spite of its name, the *number* of heads (a slip that diffusers keeps for compatibility).
    pub attention_head_dim: PerLevel,
    /// The number of heads, where a file says so properly.
    pub num_attention_heads: Option<PerLevel>,
    /// Transformer blocks in each attention.
    pub transformer_layers_per_block: PerLevel,
    /// Whether the transformers' outer projections are linear layers (SD 2.x) or 1x1 convolutions.
    pub use_linear_projection: bool,
    /// Groups of group normalisation.
    pub norm_num_groups: usize,
    /// Added to the variance in the residual blocks' normalisation.
    pub norm_eps: f64,
    /// Padding of the downsampling convolutions.
    pub downsample_padding: usize,
    /// Cosines before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    pub freq_shift: f64,
    /// The activation.
    pub act_fn: String,
}

impl Default for UnetConfig {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            down_block_types: names([
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "DownBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".to_owned()),
            up_block_types: names(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerLevel::All(2),
            cross_attention_dim: PerLevel::All(1280),
            attention_head_dim: PerLevel::All(8),
            num_attention_heads: None,
            transformer_layers_per_block: PerLevel::All(1),
            use_linear_projection: false,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            downsample_padding: 1,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            act_fn: "silu".to_owned(),
        }
    }
}

impl UnetConfig {
    /// Reads and checks the JSON text.
    ///
    /// # Errors
    /// [`Error::BadConfig`] naming the first field that asks for something this U-Net does not do, or that does not fit
    /// the others.
    pub fn from_json(text: &str, file: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadConfig { file: file.to_owned(), reason };
        let config: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if let Some((name, _, whose)) = OTHERWISE.iter().find(|(name, usual, _)| !is_usual(fields.get(*name), usual)) {
            let whose = if whose.is_empty() { String::new() } else { format!(" ({whose})") };
            return Err(bad(unsupported(&format!("{name}{whose}"))));
        }
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if !matches!(self.act_fn.as_str(), "silu" | "swish") {
            return Err(unsupported("act_fn"));
        }
        if self.mid_block_type.as_deref() != Some("UNetMidBlock2DCrossAttn") {
            return Err(unsupported("mid_block_type"));
        }
        let levels = self.block_out_channels.len();
        if levels == 0 || self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err(
                "block_out_channels, down_block_types and up_block_types must have one entry each per level".into()
            );
        }
        for (known, types) in [
            (["DownBlock2D", "CrossAttnDownBlock2D"], &self.down_block_types),
            (["UpBlock2D", "CrossAttnUpBlock2D"], &self.up_block_types),
        ] {
            if let Some(other) = types.iter().find(|name| !known.contains(&name.as_str())) {
                return Err(format!("block type {other:?} is not known: expected one of {known:?}"));
            }
        }
        for values in
            [&self.layers_per_block, &self.cross_attention_dim, self.heads(), &self.transformer_layers_per_block]
        {
            if let PerLevel::Each(each) = values
                && each.len() != levels
            {
                return Err(format!("{each:?} must have {levels} entries, one per level"));
            }
        }
        if (0..levels).any(|level| self.layers_per_block.at(level) == 0) {
            return Err("layers_per_block must be at least 1".to_owned());
        }
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            let heads = self.heads().at(level);
            if self.norm_num_groups == 0 || channels % self.norm_num_groups != 0 {
                return Err(format!(
                    "{channels} channels do not divide into norm_num_groups = {}",
                    self.norm_num_groups
                ));
            }
            if heads == 0 || channels % heads != 0 {
                return Err(format!("{channels} channels do not divide into {heads} heads (attention_head_dim)"));
            }
        }
        Ok(())
    }

    /// Heads of attention at each level.
    pub fn heads(&self) -> &PerLevel {
        self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim)
    }
}

/// Whether a field has its usual value, which it also has where it is left out or `null`; or a list of nothing else.
fn is_usual(value: Option<&Value>, usual: &str) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(each)) => each.iter().all(|value| is_usual(Some(value), usual)),
        // 1 and 1.0 are the same.
        Some(Value::Number(number)) => number.as_f64() == usual.parse().ok(),
        Some(Value::Bool(value)) => usual == if *value { "true" } else { "false" },
        Some(Value::String(value)) => value == usual,
        Some(Value::Object(_)) => false,
    }
}

fn unsupported(what: &str) -> String {
    format!("{what} asks for something that is not supported (models of the SD 1.x and 2.x kind are)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_computation_is_refused_by_name() {
        let read = |fields: &str| UnetConfig::from_json(fields, "unet/config.json").map_err(|error| error.to_string());
        for (fields, name) in [
            (r#"{"addition_embed_type": "text_time"}"#, "addition_embed_type (SDXL)"),
            (r#"{"time_cond_proj_dim": 256}"#, "time_cond_proj_dim (LCM)"),
            (r#"{"class_embed_type": "timestep"}"#, "class_embed_type"),
            (r#"{"num_class_embeds": 1000}"#, "num_class_embeds"),
            (r#"{"only_cross_attention": [true, true, true, false]}"#, "only_cross_attention"),
            (r#"{"mid_block_scale_factor": 1.5}"#, "mid_block_scale_factor"),
            (r#"{"conv_in_kernel": 5}"#, "conv_in_kernel"),
            (r#"{"act_fn": "gelu"}"#, "act_fn"),
            (r#"{"mid_block_type": null}"#, "mid_block_type"),
            (r#"{"layers_per_block": [2, 2, 0, 2]}"#, "layers_per_block"),
        ] {
            let reason = read(fields).unwrap_err();
            assert!(reason.contains(name), "{fields}: {reason}");
        }
    }

    #[test]
    fn what_diffusers_writes_for_stable_diffusion_is_read() {
        let fields = r#"{"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.42.1", "act_fn": "silu",
            "addition_embed_type": null, "addition_time_embed_dim": null, "attention_type": "default",
            "center_input_sample": false, "class_embed_type": null, "conv_in_kernel": 3, "cross_attention_norm": null,
            "dropout": 0.0, "dual_cross_attention": false, "encoder_hid_dim": null, "mid_block_only_cross_attention": null,
            "mid_block_scale_factor": 1, "only_cross_attention": [false, false, false, false], "resnet_out_scale_factor": 1.0,
            "resnet_skip_time_act": false, "resnet_time_scale_shift": "default", "time_cond_proj_dim": null,
            "time_embedding_type": "positional", "timestep_post_act": null, "upcast_attention": false}"#;
        assert_eq!(UnetConfig::from_json(fields, "unet/config.json").unwrap(), UnetConfig::default());
    }
}
