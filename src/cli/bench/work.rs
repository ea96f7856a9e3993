//! How much arithmetic the U-Net is.

use crate::model::ModelConfig;

/// Multiplications and additions of the U-Net for one sample on latents of this side, forward.
pub(super) fn unet_flops(config: &ModelConfig, side: usize) -> f64 {
    let unet = &config.unet;
    let words = config.prompt_length() as f64;
    let channels = &unet.block_out_channels;
    let (levels, first) = (channels.len(), channels[0]);
    let positions = |level: usize| ((side >> level) * (side >> level)) as f64;
    let time = 4.0 * first as f64;
    let resnet = |level: usize, inputs: usize, outputs: usize| {
        let (i, o) = (inputs as f64, outputs as f64);
        let shortcut = if inputs == outputs { 0.0 } else { i * o };
        positions(level) * (9.0 * i * o + 9.0 * o * o + shortcut) + time * o
    };
    let transformer = |level: usize| {
        let (n, c) = (positions(level), channels[level] as f64);
        let context = unet.cross_attention_dim.at(level) as f64;
        // Queries, keys, values and output of the one, queries and output of the other, the gated MLP; keys and values of
        // the prompt; scores and values.
        let block = n * c * c * (4.0 + 2.0 + 12.0) + 2.0 * words * context * c + 2.0 * n * n * c + 2.0 * n * words * c;
        2.0 * n * c * c + unet.transformer_layers_per_block.at(level) as f64 * block
    };
    let convolution = |level: usize, inputs: usize, outputs: usize| positions(level) * 9.0 * (inputs * outputs) as f64;

    let mut sum = first as f64 * time + time * time + convolution(0, unet.in_channels, first);
    let mut skips = vec![first];
    let mut inputs = first;
    for (level, &outputs) in channels.iter().enumerate() {
        for _ in 0..unet.layers_per_block.at(level) {
            sum += resnet(level, inputs, outputs);
            if unet.down_block_types[level].starts_with("Cross") {
                sum += transformer(level);
            }
            inputs = outputs;
            skips.push(outputs);
        }
        if level + 1 < levels {
            sum += convolution(level + 1, outputs, outputs);
            skips.push(outputs);
        }
    }
    sum += 2.0 * resnet(levels - 1, inputs, inputs) + transformer(levels - 1);
    for (i, level) in (0..levels).rev().enumerate() {
        let outputs = channels[level];
        for _ in 0..=unet.layers_per_block.at(level) {
            sum += resnet(level, inputs + skips.pop().unwrap_or(0), outputs);
            if unet.up_block_types[i].starts_with("Cross") {
                sum += transformer(level);
            }
            inputs = outputs;
        }
        if level > 0 {
            sum += convolution(level - 1, outputs, outputs);
        }
    }
    2.0 * (sum + convolution(0, first, unet.out_channels))
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
        // 401.6 billion multiplications at 512 x 512, as counted in performance.md; 0.180 TFLOP at 256 x 256.
        let giga = unet_flops(&config, 64) / 2e9;
        assert!((giga - 401.6).abs() < 0.5, "{giga}");
        let tera = unet_flops(&config, 32) / 1e12;
        assert!((tera - 0.180).abs() < 0.001, "{tera}");
    }
}
