//! What `vae/config.json` says.

use serde::Deserialize;

use crate::base::json::{MOST_CHANNELS, MOST_LAYERS, MOST_LEVELS, check_class, check_counts, read_fields};
use crate::{Error, Result};

/// The fields of `AutoencoderKL`'s configuration that decide the computation, with diffusers' defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Channels of a picture.
    pub in_channels: usize,
    /// Channels of a decoded picture.
    pub out_channels: usize,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks in a level of the encoder; one more in the decoder.
    pub layers_per_block: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of group normalisation.
    pub norm_num_groups: usize,
    /// What latents are multiplied with to have about unit variance.
    pub scaling_factor: f64,
    /// Whether the middle has an attention.
    pub mid_block_add_attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    act_fn: String,
    shift_factor: Option<f64>,
    latents_mean: Option<serde_json::Value>,
    latents_std: Option<serde_json::Value>,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            // Files of Stable Diffusion 1.x from before diffusers 0.10 do not have the field; this is their value.
            scaling_factor: 0.18215,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            down_block_types: vec!["DownEncoderBlock2D".to_owned()],
            up_block_types: vec!["UpDecoderBlock2D".to_owned()],
            act_fn: "silu".to_owned(),
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
        }
    }
}

impl VaeConfig {
    /// Reads and checks the JSON text.
    ///
    /// # Errors
    /// [`Error::BadConfig`] naming the first field that asks for something this autoencoder does not do.
    pub fn from_json(text: &str, file: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadConfig { file: file.to_owned(), reason };
        let (config, fields) = read_fields::<Self>(text).map_err(bad)?;
        check_class(&fields, "AutoencoderKL", "autoencoder").map_err(bad)?;
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let levels = self.block_out_channels.len();
        check_counts(&[
            ("the number of levels (block_out_channels)", levels, MOST_LEVELS),
            ("block_out_channels", self.block_out_channels.iter().copied().max().unwrap_or(0), MOST_CHANNELS),
            ("layers_per_block", self.layers_per_block, MOST_LAYERS),
            ("latent_channels", self.latent_channels, MOST_CHANNELS),
            ("in_channels", self.in_channels, MOST_CHANNELS),
            ("out_channels", self.out_channels, MOST_CHANNELS),
        ])?;
        if levels == 0 || self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err(
                "block_out_channels, down_block_types and up_block_types must have one entry each per level".into()
            );
        }
        let strange = self.down_block_types.iter().find(|name| *name != "DownEncoderBlock2D");
        if let Some(name) = strange.or(self.up_block_types.iter().find(|name| *name != "UpDecoderBlock2D")) {
            return Err(format!("block type {name:?} is not known"));
        }
        if !matches!(self.act_fn.as_str(), "silu" | "swish") {
            return Err(format!("act_fn {:?} is not supported", self.act_fn));
        }
        let centred = self.latents_mean.is_some() || self.latents_std.is_some();
        if self.shift_factor.is_some_and(|shift| shift != 0.0) || centred {
            return Err(
                "shift_factor, latents_mean and latents_std are not supported: no autoencoder of Stable Diffusion 1.x, 2.x or SDXL \
                 has them"
                    .to_owned(),
            );
        }
        if let Some(channels) =
            self.block_out_channels.iter().find(|c| self.norm_num_groups == 0 || *c % self.norm_num_groups != 0)
        {
            return Err(format!("{channels} channels do not divide into norm_num_groups = {}", self.norm_num_groups));
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor > 0.0) {
            return Err(format!("scaling_factor {} is not a positive number", self.scaling_factor));
        }
        Ok(())
    }

    /// Channels at the lowest resolution.
    pub fn last_channels(&self) -> usize {
        self.block_out_channels.last().copied().unwrap_or(0)
    }

    /// Pixels on a side for one latent.
    pub fn pixels_per_latent(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_no_autoencoder_has_are_refused_by_name() {
        let many = format!("{:?}", vec![32; 70]);
        for (fields, name) in [
            (r#"{"layers_per_block": 1000000000}"#.to_owned(), "layers_per_block is 1000000000, expected at most"),
            (r#"{"block_out_channels": [32000000000]}"#.to_owned(), "block_out_channels is"),
            (r#"{"latent_channels": 1000000000}"#.to_owned(), "latent_channels is"),
            (format!(r#"{{"block_out_channels": {many}}}"#), "the number of levels"),
        ] {
            let reason = VaeConfig::from_json(&fields, "vae/config.json").unwrap_err().to_string();
            assert!(reason.contains(name), "{fields}: {reason}");
        }
    }
}
