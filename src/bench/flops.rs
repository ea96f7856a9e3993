//! How much arithmetic the U-Net takes.

use crate::model::ModelConfig;
use crate::unet::graph::{Graph, Stage, Transformer};

/// Multiplications and additions of the U-Net for one sample on latents of this side, forward.
pub fn unet_flops(config: &ModelConfig, side: usize) -> f64 {
    let graph = Graph::new(&config.unet);
    let words = config.prompt_length() as f64;
    let positions = |level: usize| side.div_ceil(1 << level).pow(2) as f64;
    let time = graph.time as f64;
    let resnet = |level: usize, [inputs, outputs]: [usize; 2]| {
        let (i, o) = (inputs as f64, outputs as f64);
        let shortcut = if inputs == outputs { 0.0 } else { i * o };
        positions(level) * (9.0 * i * o + 9.0 * o * o + shortcut) + time * o
    };
    let transformer = |level: usize, shape: &Transformer| {
        let (n, c, context) = (positions(level), shape.width as f64, shape.context as f64);
        // Queries, keys, values and output of the one, queries and output of the other, the gated MLP; keys and values
        // of the prompt; scores and values.
        let block = n * c * c * (4.0 + 2.0 + 12.0) + 2.0 * words * context * c + 2.0 * n * n * c + 2.0 * n * words * c;
        2.0 * n * c * c + shape.blocks as f64 * block
    };
    let convolution = |level: usize, [inputs, outputs]: [usize; 2]| positions(level) * 9.0 * (inputs * outputs) as f64;

    let mut sum = graph.conv_in[1] as f64 * time + time * time;
    sum += convolution(0, graph.conv_in) + convolution(0, graph.conv_out);
    for stage in graph.stages() {
        sum += stage.layers.iter().map(|layer| resnet(stage.level, layer.resnet)).sum::<f64>();
        sum += stage.transformers().map(|shape| transformer(stage.level, shape)).sum::<f64>();
    }
    let resampled = |stages: &[Stage], to: fn(usize) -> usize| {
        let stages = stages.iter().filter(|stage| stage.resamples);
        stages.map(|stage| convolution(to(stage.level), [stage.channels(); 2])).sum::<f64>()
    };
    // Each computes at the resolution of its output.
    sum += resampled(&graph.down, |level| level + 1) + resampled(&graph.up, |level| level - 1);
    2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Family, family_files};
    use crate::source::Memory;

    #[test]
    fn it_is_the_published_count() {
        let mut memory = Memory::new("sd1");
        for (path, bytes) in family_files(Family::Sd1).unwrap() {
            memory.insert(path, bytes);
        }
        let config = pollster::block_on(ModelConfig::read(&memory)).unwrap();
        // 401.6 billion multiplications at 512 x 512, as counted by hand; 0.180 TFLOP at 256 x 256.
        let giga = unet_flops(&config, 64) / 2e9;
        assert!((giga - 401.6).abs() < 0.5, "{giga}");
        let tera = unet_flops(&config, 32) / 1e12;
        assert!((tera - 0.180).abs() < 0.001, "{tera}");
    }
}
