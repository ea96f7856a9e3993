//! The shape of the autoencoder's two halves, for loading and for the memory plan.

use super::config::VaeConfig;
use crate::unet::graph::{Layer, Stage};

/// The encoder's stages, from pixels to latents.
pub fn encoder(config: &VaeConfig) -> Vec<Stage> {
    let channels = &config.block_out_channels;
    let levels = channels.iter().copied().enumerate();
    stages("encoder.down_blocks", levels, channels[0], config.layers_per_block, channels.len() - 1)
}

/// The decoder's stages, from latents to pixels.
pub fn decoder(config: &VaeConfig) -> Vec<Stage> {
    let channels = &config.block_out_channels;
    let levels = channels.iter().copied().enumerate().rev();
    stages("decoder.up_blocks", levels, config.last_channels(), config.layers_per_block + 1, 0)
}

/// Stages of `layers` residual blocks each, of which the one at level `last` keeps its resolution.
fn stages(
    path: &str,
    levels: impl Iterator<Item = (usize, usize)>,
    mut inputs: usize,
    layers: usize,
    last: usize,
) -> Vec<Stage> {
    let stage = |(i, (level, outputs)): (usize, (usize, usize))| {
        let layers = (0..layers).map(|_| {
            let resnet = [std::mem::replace(&mut inputs, outputs), outputs];
            Layer { resnet, joined: 0, transformer: None }
        });
        Stage { path: format!("{path}.{i}"), level, layers: layers.collect(), resamples: level != last }
    };
    levels.enumerate().map(stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_stable_diffusions() {
        let text = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
            "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
            "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;
        let config = VaeConfig::from_json(text, "vae/config.json").unwrap();
        let shape = |stages: Vec<Stage>| -> Vec<_> {
            let resnets = |stage: Stage| stage.layers.into_iter().map(|layer| layer.resnet).collect::<Vec<_>>();
            stages.into_iter().map(|stage| (stage.level, stage.resamples, resnets(stage))).collect()
        };
        assert_eq!(
            shape(encoder(&config)),
            [
                (0, true, vec![[128, 128], [128, 128]]),
                (1, true, vec![[128, 256], [256, 256]]),
                (2, true, vec![[256, 512], [512, 512]]),
                (3, false, vec![[512, 512], [512, 512]]),
            ]
        );
        let decoder = shape(decoder(&config));
        assert_eq!(decoder[2], (1, true, vec![[512, 256], [256, 256], [256, 256]]));
        assert_eq!(decoder[3], (0, false, vec![[256, 128], [128, 128], [128, 128]]));
    }
}
