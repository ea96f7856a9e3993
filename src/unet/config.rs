//! What `unet/config.json` says.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::json::{MOST_CHANNELS, MOST_LAYERS, MOST_LEVELS, check_class, check_counts, read_fields};
use crate::{Error, Result};

/// Fields of `UNet2DConditionModel` for computations that are not done here, the value that means their absence, and
/// which models have another. A field that is not known at all is ignored: files carry many that decide nothing.
const OTHERWISE: [(&str, &str, &str); 22] = [
    ("attention_type", "default", "GLIGEN"),
    ("center_input_sample", "false", ""),
    ("class_embed_type", "null", ""),
    ("conv_in_kernel", "3", ""),
    ("conv_out_kernel", "3", ""),
    ("cross_attention_norm", "null", ""),
    ("downsample_padding", "1", ""),
    ("dual_cross_attention", "false", ""),
    ("encoder_hid_dim", "null", ""),
    ("encoder_hid_dim_type", "null", ""),
    ("mid_block_only_cross_attention", "false", ""),
    ("mid_block_scale_factor", "1", ""),
    ("num_class_embeds", "null", "upscalers"),
    ("only_cross_attention", "false", ""),
    ("resnet_out_scale_factor", "1", ""),
    ("resnet_skip_time_act", "false", ""),
    ("resnet_time_scale_shift", "default", ""),
    ("reverse_transformer_layers_per_block", "null", ""),
    ("time_cond_proj_dim", "null", LCM),
    ("time_embedding_act_fn", "null", ""),
    ("time_embedding_type", "positional", ""),
    ("timestep_post_act", "null", ""),
];

/// Models whose U-Net takes the guidance as an input.
pub(crate) const LCM: &str = "guidance-distilled models, LCM";

/// Below this a side is what diffusers wrote by default before version 0.9, whatever the model was trained on.
const LEAST_SIDE: usize = 64;

/// The first version of diffusers whose files say the side that a model was trained on.
const SIDES_ARE_MEANT_SINCE: [u32; 2] = [0, 9];

/// The sides of the latents that a model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or height and width")]
pub enum SampleSize {
    /// Both the same.
    Square(usize),
    /// Height and width.
    Sides([usize; 2]),
}

impl SampleSize {
    /// Height and width.
    pub fn sides(self) -> [usize; 2] {
        match self {
            SampleSize::Square(side) => [side; 2],
            SampleSize::Sides(sides) => sides,
        }
    }
}

/// One number for all levels, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or a list of one for each level")]
pub enum PerLevel {
    /// The same everywhere.
    All(usize),
    /// Level by level, from the outside in.
    Each(Vec<usize>),
}

impl PerLevel {
    /// The largest number.
    fn most(&self) -> usize {
        match self {
            PerLevel::All(value) => *value,
            PerLevel::Each(values) => values.iter().copied().max().unwrap_or(0),
        }
    }

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
    /// Sides of the latents that the model was trained on.
    pub sample_size: Option<SampleSize>,
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
    /// Cosines before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    pub freq_shift: f64,
    /// The activation.
    pub act_fn: String,
    /// What is added to the time embedding: `text_time` in SDXL.
    pub addition_embed_type: Option<String>,
    /// Width of the sinusoids of each of a picture's sizes.
    pub addition_time_embed_dim: Option<usize>,
    /// Width of what is added, before its layers: the prompt's vector, then the sinusoids.
    pub projection_class_embeddings_input_dim: Option<usize>,
}

/// Numbers that say how large a picture was and which part of it is seen: height and width before, top and left of the part,
/// height and width after (SDXL's micro-conditioning, arXiv 2307.01952).
pub const TIME_IDS: usize = 6;

/// What is added to the time embedding of an SDXL U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Width of the prompt's vector.
    pub pooled: usize,
    /// Width of the sinusoids of each of the [`TIME_IDS`].
    pub sinusoid: usize,
}

impl Added {
    /// Width of all of it.
    pub fn width(self) -> usize {
        self.pooled + TIME_IDS * self.sinusoid
    }
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
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            act_fn: "silu".to_owned(),
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
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
        let (mut config, fields) = read_fields::<Self>(text).map_err(bad)?;
        check_class(&fields, "UNet2DConditionModel", "U-Net").map_err(bad)?;
        config.correct(&fields);
        if let Some((name, _, whose)) = OTHERWISE.iter().find(|(name, usual, _)| !is_usual(fields.get(*name), usual)) {
            let whose = if whose.is_empty() { String::new() } else { format!(" ({whose})") };
            return Err(bad(unsupported(&format!("{name}{whose}"))));
        }
        config.check(&fields).map_err(bad)?;
        Ok(config)
    }

    /// Corrects what `StableDiffusionPipeline` corrects in files of older versions (its `__init__`).
    fn correct(&mut self, fields: &Map<String, Value>) {
        let version = fields.get("_diffusers_version").and_then(Value::as_str).and_then(version);
        if version.is_some_and(|version| version < SIDES_ARE_MEANT_SINCE)
            && let Some(SampleSize::Square(side)) = &mut self.sample_size
        {
            *side = LEAST_SIDE.max(*side);
        }
    }

    fn check(&self, fields: &Map<String, Value>) -> Result<(), String> {
        self.check_counts()?;
        self.check_levels()?;
        self.added()?;
        if self.sample_size.is_some_and(|size| size.sides().contains(&0)) {
            return Err("sample_size must be at least 1".to_owned());
        }
        let time = fields.get("time_embedding_dim").filter(|width| !width.is_null());
        if let Some(width) = time.filter(|width| width.as_u64() != Some(4 * self.block_out_channels[0] as u64)) {
            return Err(unsupported(&format!("time_embedding_dim {width}")));
        }
        Ok(())
    }

    /// What is added to the time embedding; none in models with one text encoder.
    ///
    /// # Errors
    /// What does not fit together, in a sentence.
    pub fn added(&self) -> Result<Option<Added>, String> {
        match self.addition_embed_type.as_deref() {
            None => return Ok(None),
            Some("text_time") => {}
            Some(other) => return Err(unsupported(&format!("addition_embed_type {other:?}"))),
        }
        let (Some(sinusoid), Some(width)) = (self.addition_time_embed_dim, self.projection_class_embeddings_input_dim)
        else {
            return Err("addition_embed_type text_time needs addition_time_embed_dim and \
                projection_class_embeddings_input_dim"
                .to_owned());
        };
        check_counts(&[
            ("addition_time_embed_dim", sinusoid, MOST_CHANNELS),
            ("projection_class_embeddings_input_dim", width, MOST_CHANNELS),
        ])?;
        // SDXL's refiner has one text encoder and is told a score instead of the target's size: one number less.
        if self.cross_attention_dim == PerLevel::All(1280) && width == 1280 + (TIME_IDS - 1) * sinusoid {
            return Err(
                "this is the U-Net of SDXL's refiner, which only finishes pictures that the base model has begun: use \
                the base model"
                    .to_owned(),
            );
        }
        match width.checked_sub(TIME_IDS * sinusoid) {
            Some(pooled) if pooled > 0 => Ok(Some(Added { pooled, sinusoid })),
            _ => Err(format!(
                "projection_class_embeddings_input_dim is {width}: there is no room for {TIME_IDS} times {sinusoid} \
                 (addition_time_embed_dim) and a prompt's vector"
            )),
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        let channels = self.block_out_channels.iter().copied().max().unwrap_or(0);
        let side = self.sample_size.map_or(0, |size| size.sides().into_iter().max().unwrap_or(0));
        check_counts(&[
            ("the number of levels (block_out_channels)", self.block_out_channels.len(), MOST_LEVELS),
            ("block_out_channels", channels, MOST_CHANNELS),
            ("layers_per_block", self.layers_per_block.most(), MOST_LAYERS),
            ("transformer_layers_per_block", self.transformer_layers_per_block.most(), MOST_LAYERS),
            ("cross_attention_dim", self.cross_attention_dim.most(), MOST_CHANNELS),
            ("in_channels", self.in_channels, MOST_CHANNELS),
            ("out_channels", self.out_channels, MOST_CHANNELS),
            ("sample_size", side, MOST_CHANNELS),
        ])
    }

    fn check_levels(&self) -> Result<(), String> {
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

/// The first two numbers of a version, such as `0.9.0.dev0`.
fn version(text: &str) -> Option<[u32; 2]> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??])
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
    format!("{what} asks for something that is not supported (models of the SD 1.x, SD 2.x and SDXL kind are)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_computation_is_refused_by_name() {
        let read = |fields: &str| UnetConfig::from_json(fields, "unet/config.json").map_err(|error| error.to_string());
        for (fields, name) in [
            (r#"{"addition_embed_type": "image"}"#, "addition_embed_type \"image\""),
            (r#"{"addition_embed_type": "text_time"}"#, "needs addition_time_embed_dim"),
            (
                r#"{"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 1536}"#,
                "no room for 6 times 256",
            ),
            (
                r#"{"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "cross_attention_dim": 1280,
                    "projection_class_embeddings_input_dim": 2560}"#,
                "SDXL's refiner",
            ),
            (r#"{"time_cond_proj_dim": 256}"#, "time_cond_proj_dim (guidance-distilled models, LCM)"),
            (r#"{"mid_block_only_cross_attention": true}"#, "mid_block_only_cross_attention"),
            (r#"{"time_embedding_dim": 512}"#, "time_embedding_dim 512"),
            (r#"{"sample_size": [0, 64]}"#, "sample_size must"),
            (
                r#"{"sample_size": [64, 64, 64]}"#,
                "sample_size is [64,64,64]: expected a whole number, or height and width",
            ),
            (r#"{"layers_per_block": "two"}"#, "layers_per_block is \"two\": expected a whole number, or a list"),
            (r#"{"_class_name": "UNetMotionModel"}"#, "the class \"UNetMotionModel\""),
            (r#"{"class_embed_type": "timestep"}"#, "class_embed_type"),
            (r#"{"num_class_embeds": 1000}"#, "num_class_embeds"),
            (r#"{"only_cross_attention": [true, true, true, false]}"#, "only_cross_attention"),
            (r#"{"mid_block_scale_factor": 1.5}"#, "mid_block_scale_factor"),
            (r#"{"conv_in_kernel": 5}"#, "conv_in_kernel"),
            (r#"{"act_fn": "gelu"}"#, "act_fn"),
            (r#"{"mid_block_type": null}"#, "mid_block_type"),
            (r#"{"layers_per_block": [2, 2, 0, 2]}"#, "layers_per_block"),
            (r#"{"downsample_padding": 0}"#, "downsample_padding asks"),
            (r#"{"downsample_padding": 1000000000}"#, "downsample_padding asks"),
            (r#"{"layers_per_block": 1000000000}"#, "layers_per_block is 1000000000, expected at most"),
            (r#"{"layers_per_block": [2, 2, 1000000000, 2]}"#, "layers_per_block is 1000000000"),
            (r#"{"transformer_layers_per_block": 1000000000}"#, "transformer_layers_per_block is"),
            (r#"{"block_out_channels": [32, 64, 64, 32000000000]}"#, "block_out_channels is"),
            (r#"{"cross_attention_dim": 1000000000}"#, "cross_attention_dim is"),
            (r#"{"in_channels": 1000000000, "out_channels": 1000000000}"#, "in_channels is"),
            (r#"{"sample_size": [64, 1000000000]}"#, "sample_size is 1000000000"),
            (r#"{"attention_head_dim": 1000000000}"#, "heads"),
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
            "dropout": 0.0, "dual_cross_attention": false, "encoder_hid_dim": null, "mid_block_only_cross_attention": false,
            "mid_block_scale_factor": 1, "time_embedding_dim": 1280, "only_cross_attention": [false, false, false, false], "resnet_out_scale_factor": 1.0,
            "resnet_skip_time_act": false, "resnet_time_scale_shift": "default", "time_cond_proj_dim": null,
            "time_embedding_type": "positional", "timestep_post_act": null, "upcast_attention": false}"#;
        assert_eq!(UnetConfig::from_json(fields, "unet/config.json").unwrap(), UnetConfig::default());
    }

    /// As `StableDiffusionPipeline.from_pretrained` of diffusers 0.42.1 takes them.
    #[test]
    fn sides_of_files_from_before_diffusers_0_9_are_at_least_64() {
        for (version, size, expected) in [
            (r#""0.3.0""#, "32", [64, 64]),
            (r#""0.8.1""#, "8.0", [64, 64]),
            (r#""0.6.0""#, "96", [96, 96]),
            (r#""0.6.0""#, "[32, 48]", [32, 48]),
            (r#""0.9.0.dev0""#, "32", [32, 32]),
            (r#""0.10.0""#, "32", [32, 32]),
            (r#""1.0""#, "32", [32, 32]),
            ("null", "32", [32, 32]),
            (r#""main""#, "32", [32, 32]),
        ] {
            let fields = format!(r#"{{"_diffusers_version": {version}, "sample_size": {size}}}"#);
            let config = UnetConfig::from_json(&fields, "unet/config.json").unwrap();
            assert_eq!(config.sample_size.unwrap().sides(), expected, "{fields}");
        }
    }

    #[test]
    fn one_number_or_one_for_each_level() {
        let fields = r#"{"layers_per_block": [2, 2.0, 2, 2], "cross_attention_dim": [768, 768, 768, 768],
            "attention_head_dim": [5, 10, 20, 20], "transformer_layers_per_block": [1, 1, 1, 1]}"#;
        let config = UnetConfig::from_json(fields, "unet/config.json").unwrap();
        let levels: Vec<usize> = (0..4).map(|level| config.heads().at(level)).collect();
        assert_eq!(
            (levels, config.layers_per_block.at(3), config.cross_attention_dim.at(1)),
            (vec![5, 10, 20, 20], 2, 768)
        );
        let one = UnetConfig::from_json(r#"{"attention_head_dim": 8.0, "layers_per_block": 2}"#, "unet/config.json");
        assert_eq!(one.unwrap().heads().at(3), 8);
    }
}
