//! The shape of a U-Net as its configuration describes it: what it is made of, in the order in which it computes.
//!
//! Everything that goes through a U-Net walks this one description: loading, the memory plan ([`crate::plan`]), the
//! operations that `bench` counts and measures, and, through the plan, the choice whether blocks are recomputed.

use super::config::UnetConfig;

/// A U-Net: what comes before its stages, the stages, and what comes after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// `[in, out]` channels of the first convolution, whose output is also the first skip connection.
    pub conv_in: [usize; 2],
    /// Width of the time embedding, which every residual block is given.
    pub time: usize,
    /// To lower resolutions; the output of each layer and each downsampling is kept as a skip connection.
    pub down: Vec<Stage>,
    /// At the lowest resolution.
    pub middle: Stage,
    /// Back to the full resolution; each layer is joined with the latest skip connection that is left.
    pub up: Vec<Stage>,
    /// `[in, out]` channels of the last convolution.
    pub conv_out: [usize; 2],
}

/// Blocks at one resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The path of its weights.
    pub path: String,
    /// How often its feature maps have been halved.
    pub level: usize,
    /// Residual blocks, each perhaps followed by a transformer.
    pub layers: Vec<Layer>,
    /// Whether it ends with a change of resolution, to that of the next stage.
    pub resamples: bool,
}

/// A residual block and perhaps a transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// `[in, out]` channels of the residual block, skip connection included.
    pub resnet: [usize; 2],
    /// How many of the input channels come from the skip connection.
    pub joined: usize,
    /// The transformer behind it.
    pub transformer: Option<Transformer>,
}

/// Transformer blocks over the positions of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transformer {
    /// Channels of the feature map.
    pub width: usize,
    /// Width of the prompt's hidden states.
    pub context: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Blocks, one after the other.
    pub blocks: usize,
}

impl Stage {
    /// Channels of its output.
    pub fn channels(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.resnet[1])
    }

    /// The transformers in it.
    pub fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.layers.iter().filter_map(|layer| layer.transformer.as_ref())
    }
}

impl Graph {
    /// The U-Net of a configuration that was checked.
    pub fn new(config: &UnetConfig) -> Self {
        let channels = &config.block_out_channels;
        let (levels, first, last) = (channels.len(), channels[0], channels[channels.len() - 1]);
        let transformer = |level: usize| Transformer {
            width: channels[level],
            context: config.cross_attention_dim.at(level),
            heads: config.heads().at(level),
            blocks: config.transformer_layers_per_block.at(level),
        };
        // Channels of the skip connections, in the order in which they are made.
        let mut waiting = vec![first];
        let (mut inputs, mut down) = (first, Vec::new());
        for (level, &outputs) in channels.iter().enumerate() {
            let transformer = is_crossed(&config.down_block_types[level]).then(|| transformer(level));
            let layers = (0..config.layers_per_block.at(level)).map(|_| {
                let layer = Layer { resnet: [inputs, outputs], joined: 0, transformer };
                inputs = outputs;
                waiting.push(outputs);
                layer
            });
            let (path, layers, resamples) = (format!("down_blocks.{level}"), layers.collect(), level + 1 < levels);
            if resamples {
                waiting.push(outputs);
            }
            down.push(Stage { path, level, layers, resamples });
        }

        let layer = |transformer| Layer { resnet: [last; 2], joined: 0, transformer };
        let layers = vec![layer(Some(transformer(levels - 1))), layer(None)];
        let middle = Stage { path: "mid_block".to_owned(), level: levels - 1, layers, resamples: false };

        let mut up = Vec::new();
        for (i, level) in (0..levels).rev().enumerate() {
            let outputs = channels[level];
            let transformer = is_crossed(&config.up_block_types[i]).then(|| transformer(level));
            let layers = (0..=config.layers_per_block.at(level)).map(|_| {
                let joined = waiting.pop().unwrap_or(0);
                let layer = Layer { resnet: [inputs + joined, outputs], joined, transformer };
                inputs = outputs;
                layer
            });
            let (path, layers) = (format!("up_blocks.{i}"), layers.collect());
            up.push(Stage { path, level, layers, resamples: level > 0 });
        }
        Self {
            conv_in: [config.in_channels, first],
            time: 4 * first,
            down,
            middle,
            up,
            conv_out: [first, config.out_channels],
        }
    }

    /// All stages, in the order in which they compute.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.down.iter().chain([&self.middle]).chain(&self.up)
    }
}

/// Whether a class of blocks has transformers.
fn is_crossed(class: &str) -> bool {
    class.starts_with("CrossAttn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_stable_diffusion_1() {
        let graph = Graph::new(&UnetConfig::default());
        assert_eq!((graph.conv_in, graph.time, graph.conv_out), ([4, 320], 1280, [320, 4]));
        let paths: Vec<&str> = graph.stages().map(|stage| stage.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "down_blocks.0",
                "down_blocks.1",
                "down_blocks.2",
                "down_blocks.3",
                "mid_block",
                "up_blocks.0",
                "up_blocks.1",
                "up_blocks.2",
                "up_blocks.3"
            ]
        );
        let resnets = |stage: &Stage| stage.layers.iter().map(|layer| layer.resnet).collect::<Vec<_>>();
        assert_eq!(resnets(&graph.down[1]), [[320, 640], [640, 640]]);
        assert_eq!(resnets(&graph.middle), [[1280; 2]; 2]);
        assert_eq!(resnets(&graph.up[2]), [[1920, 640], [1280, 640], [960, 640]]);
        assert_eq!(resnets(&graph.up[3]), [[960, 320], [640, 320], [640, 320]]);
        let transformers: Vec<usize> = graph.stages().map(|stage| stage.transformers().count()).collect();
        assert_eq!(transformers, [2, 2, 2, 0, 1, 0, 3, 3, 3]);
        let resampled: Vec<bool> = graph.stages().map(|stage| stage.resamples).collect();
        assert_eq!(resampled, [true, true, true, false, false, true, true, true, false]);
    }

    #[test]
    fn all_that_waits_on_the_way_down_is_joined_on_the_way_up() {
        let graph = Graph::new(&UnetConfig::default());
        let layers = |stages: &[Stage]| stages.iter().flat_map(|stage| stage.layers.clone()).collect::<Vec<_>>();
        let resampled = graph.down.iter().filter(|stage| stage.resamples);
        let made = graph.conv_in[1]
            + layers(&graph.down).iter().map(|layer| layer.resnet[1]).sum::<usize>()
            + resampled.map(Stage::channels).sum::<usize>();
        assert_eq!(layers(&graph.up).iter().map(|layer| layer.joined).sum::<usize>(), made);
    }
}
