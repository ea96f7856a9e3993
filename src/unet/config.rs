//! What `unet/config.json` says.

use serde::Deserialize;

use crate::{Error, Result};

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
    /// Block classes on the way down.
    pub down_block_types: Vec<String>,
    /// Block class in the middle.
    pub mid_block_type: Option<String>,
    /// Block classes on the way up.
    pub up_block_types: Vec<String>,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks in a level on the way down; one more on the way up.
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
    center_input_sample: bool,
    dual_cross_attention: bool,
    only_cross_attention: serde_json::Value,
    class_embed_type: Option<String>,
    num_class_embeds: Option<usize>,
    addition_embed_type: Option<String>,
    encoder_hid_dim: Option<usize>,
    time_embedding_type: String,
    resnet_time_scale_shift: String,
    mid_block_scale_factor: f64,
    conv_in_kernel: usize,
    conv_out_kernel: usize,
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
            center_input_sample: false,
            dual_cross_attention: false,
            only_cross_attention: serde_json::Value::Bool(false),
            class_embed_type: None,
            num_class_embeds: None,
            addition_embed_type: None,
            encoder_hid_dim: None,
            time_embedding_type: "positional".to_owned(),
            resnet_time_scale_shift: "default".to_owned(),
            mid_block_scale_factor: 1.0,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
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
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let unsupported = [
            ("addition_embed_type (SDXL)", self.addition_embed_type.is_some()),
            ("class_embed_type", self.class_embed_type.is_some() || self.num_class_embeds.is_some()),
            ("encoder_hid_dim", self.encoder_hid_dim.is_some()),
            ("center_input_sample", self.center_input_sample),
            ("dual_cross_attention", self.dual_cross_attention),
            ("only_cross_attention", self.only_cross_attention.to_string().contains("true")),
            ("time_embedding_type", self.time_embedding_type != "positional"),
            ("resnet_time_scale_shift", self.resnet_time_scale_shift != "default"),
            ("mid_block_scale_factor", self.mid_block_scale_factor != 1.0),
            ("conv_in_kernel/conv_out_kernel", self.conv_in_kernel != 3 || self.conv_out_kernel != 3),
            ("act_fn", !matches!(self.act_fn.as_str(), "silu" | "swish")),
            ("mid_block_type", self.mid_block_type.as_deref() != Some("UNetMidBlock2DCrossAttn")),
        ];
        if let Some((name, _)) = unsupported.iter().find(|(_, found)| *found) {
            return Err(format!(
                "{name} asks for something that is not supported (models of the SD 1.x and 2.x kind are)"
            ));
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

    /// Latents' sides must be a multiple of this.
    pub fn size_step(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}
