//! What the networks compute, operation by operation: arithmetic, bytes that must be moved, launches.
//!
//! A graphics device does an operation in the longer of two times: that of its arithmetic and that of its bytes, each at
//! the device's peak. Bytes are counted as if each tensor were read or written once by each operation. Products do the layer
//! normalisations and activations around them.

use crate::model::ModelConfig;
use crate::text::{ClipTextConfig, Taken};
use crate::unet::graph::{Graph, Layer, Stage, Transformer};
use crate::vae::graph::{decoder, encoder};

/// Bytes of a computed number.
const FLOAT: f64 = 4.0;
/// Bytes of a weight's number on a GPU.
const HALF: f64 = 2.0;

/// What kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Convolutions of 3 x 3 and 1 x 1.
    Convolutions,
    /// Linear layers.
    Linear,
    /// Scores and values of attentions.
    Attention,
    /// Group and layer normalisations.
    Norms,
    /// Activations, sums, copies.
    Rest,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 5] = [Part::Convolutions, Part::Linear, Part::Attention, Part::Norms, Part::Rest];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Convolutions => "convolutions",
            Part::Linear => "linear layers",
            Part::Attention => "attention",
            Part::Norms => "normalisations",
            Part::Rest => "the rest",
        }
    }

    /// Whether it is products, which the engine can make in f16; attention's with cooperative matrices alone.
    fn is_products(self) -> bool {
        matches!(self, Part::Convolutions | Part::Linear | Part::Attention)
    }
}

/// An operation: one launch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Op {
    /// Its kind.
    pub part: Part,
    /// Multiplications and additions; only those of products count.
    pub flops: f64,
    /// What is read and written.
    pub bytes: f64,
    /// Whether its factors are in f16 where products are made so: those of the autoencoder are not.
    pub halves: bool,
    /// Whether it has a gradient: none if nothing that it is made of has one.
    backward: bool,
    /// The bytes of the normalisation that a product does itself, whose gradient is a launch of its own.
    normed: f64,
    /// The bytes of what is summed for the gradient of the shift that a product adds itself, which is a launch of its own, too.
    summed: f64,
}

impl Op {
    /// Whether its factors are in f16 only where there are matrix units.
    pub fn needs_matrices(&self) -> bool {
        self.part == Part::Attention
    }

    /// What its gradient takes, launch by launch.
    fn back(self) -> Vec<Self> {
        let Self { part, flops, bytes, halves, backward, normed, summed } = self;
        let op = |flops, bytes| Self { part, flops, bytes, halves, backward: false, normed: 0.0, summed: 0.0 };
        match part {
            _ if !backward => Vec::new(),
            // Scores again, their gradient, and what goes back to the queries; the same, and to keys and values.
            Part::Attention => vec![op(1.5 * flops, 1.25 * bytes), op(2.0 * flops, 1.5 * bytes)],
            // What went in, and the gradient; each is read.
            Part::Norms => vec![op(flops, 1.5 * bytes)],
            Part::Linear if normed > 0.0 => {
                let norm = Self { part: Part::Norms, ..op(0.0, 1.5 * normed) };
                vec![op(flops, bytes), norm]
            }
            Part::Convolutions if summed > 0.0 => {
                vec![op(flops, bytes), Self { part: Part::Rest, ..op(0.0, summed) }]
            }
            Part::Linear | Part::Convolutions | Part::Rest => vec![op(flops, bytes)],
        }
    }
}

/// Backward through operations.
pub fn back(ops: &[Op]) -> Vec<Op> {
    ops.iter().flat_map(|op| op.back()).collect()
}

/// Multiplications and additions of the U-Net for one sample on latents of this side, forward.
pub fn unet_flops(config: &ModelConfig, side: usize) -> f64 {
    unet(config, side, 1).iter().map(|op| op.flops).sum()
}

/// The U-Net on latents of this side, forward.
pub fn unet(config: &ModelConfig, side: usize, batch: usize) -> Vec<Op> {
    of_unet(config, side, Network { batch, words: config.prompt_length(), ..Network::default() })
}

/// The same where the keys and values of the prompts are known, as in the steps of a picture.
pub fn unet_for_known_prompts(config: &ModelConfig, side: usize, batch: usize) -> Vec<Op> {
    of_unet(config, side, Network { batch, words: config.prompt_length(), knows_prompts: true, ..Network::default() })
}

fn of_unet(config: &ModelConfig, side: usize, mut network: Network) -> Vec<Op> {
    let graph = Graph::new(&config.unet);
    let positions = |level: usize| side.div_ceil(1 << level).pow(2);
    let [latents, first] = graph.conv_in;
    // What all residual blocks make of the timestep is one product.
    let shifts = graph.stages().flat_map(|stage| &stage.layers).map(|layer| layer.resnet[1]).sum();
    network.of_time(first, graph.time);
    network.of_time(graph.time, graph.time);
    match config.unet.added() {
        Ok(Some(added)) => network.added(added.width(), graph.time, shifts),
        _ => network.of_time(graph.time, shifts),
    }
    network.convolution([positions(0); 2], [latents, first], 9);
    for stage in graph.stages() {
        let at = positions(stage.level);
        for layer in &stage.layers {
            network.layer(at, layer);
        }
        if stage.resamples {
            let up = graph.up.contains(stage);
            let to = positions(if up { stage.level - 1 } else { stage.level + 1 });
            network.resample([at, to], stage.channels(), up);
        }
    }
    network.norm(positions(0) * first);
    network.convolution([positions(0); 2], graph.conv_out, 9);
    network.ops
}

/// The text encoders on whole prompts, forward.
pub fn text(config: &ModelConfig, batch: usize) -> Vec<Op> {
    let mut network = Network { batch, words: config.prompt_length(), ..Network::default() };
    for (encoder, taken) in config.text_encoders.iter().zip(config.taken()) {
        network.text(encoder, taken);
    }
    if config.text_encoders.len() > 1 {
        network.rest(2 * network.words * config.word_width());
    }
    network.ops
}

/// A picture to latents of this side, or back.
pub fn autoencoder(config: &ModelConfig, side: usize, decodes: bool) -> Vec<Op> {
    let vae = &config.vae;
    let (latents, last, first) = (vae.latent_channels, vae.last_channels(), vae.block_out_channels[0]);
    let stages = if decodes { decoder(vae) } else { encoder(vae) };
    let (low, levels) = (side * side, stages.len());
    let positions = |level: usize| low << (2 * (levels - 1 - level));
    let mut network = Network { batch: 1, ..Network::default() };
    if decodes {
        network.convolution([low; 2], [latents, last], 9);
        network.middle(low, last, vae.mid_block_add_attention);
    } else {
        network.convolution([positions(0); 2], [vae.in_channels, first], 9);
    }
    for stage in &stages {
        network.of_picture(stage, positions, decodes);
    }
    if decodes {
        network.norm(positions(0) * first);
        network.convolution([positions(0); 2], [first, vae.out_channels], 9);
    } else {
        network.middle(low, last, vae.mid_block_add_attention);
        network.norm(low * last);
        network.convolution([low; 2], [last, 2 * latents], 9);
    }
    // Its weights are exact: f16 would show in pictures.
    network.ops.into_iter().map(|op| Op { halves: false, ..op }).collect()
}

/// Collects operations.
#[derive(Default)]
pub(super) struct Network {
    batch: usize,
    /// Tokens of a prompt.
    words: usize,
    /// Whether keys and values of prompts were made before.
    knows_prompts: bool,
    /// Whether what residual blocks make of the timestep has a gradient.
    shifts_go_back: bool,
    ops: Vec<Op>,
}

impl Network {
    /// The operations that are added to a network for one sample.
    pub fn collect(add: impl FnOnce(&mut Self)) -> Vec<Op> {
        let mut network = Self { batch: 1, ..Self::default() };
        add(&mut network);
        network.ops
    }

    fn push(&mut self, part: Part, products: usize, numbers: usize, weights: usize) {
        let bytes = FLOAT * (self.batch * numbers) as f64 + HALF * weights as f64;
        let (flops, halves) = (2.0 * (self.batch * products) as f64, part.is_products());
        self.ops.push(Op { part, flops, bytes, halves, backward: true, normed: 0.0, summed: 0.0 });
    }

    /// From so many positions to so many, by windows of so many pixels.
    pub fn convolution(&mut self, [from, to]: [usize; 2], [inputs, outputs]: [usize; 2], window: usize) {
        let weights = window * inputs * outputs;
        self.push(Part::Convolutions, to * weights, from * inputs + to * outputs, weights);
    }

    /// A linear layer over so many rows.
    pub fn linear(&mut self, rows: usize, inner: usize, columns: usize) {
        self.push(Part::Linear, rows * inner * columns, rows * (inner + columns), inner * columns);
    }

    /// The product that was added last normalises its rows, so many numbers, itself.
    fn normed(&mut self, numbers: usize) {
        if let Some(op) = self.ops.last_mut() {
            op.normed = FLOAT * (2 * self.batch * numbers) as f64;
        }
    }

    /// A linear layer of the timestep, which has no gradient.
    fn of_time(&mut self, inner: usize, columns: usize) {
        self.linear(1, inner, columns);
        if let Some(op) = self.ops.last_mut() {
            op.backward = false;
        }
    }

    /// What is added to the timestep's embedding, made of so many numbers; then the sum's activation, and what all residual
    /// blocks make of it.
    fn added(&mut self, inner: usize, time: usize, shifts: usize) {
        if !self.knows_prompts {
            self.linear(1, inner, time);
            self.rest(2 * time);
            self.linear(1, time, time);
        }
        self.rest(2 * time);
        self.linear(1, time, shifts);
        self.shifts_go_back = true;
    }

    /// All heads, whose widths together are `width`.
    pub fn attention(&mut self, queries: usize, keys: usize, width: usize) {
        self.push(Part::Attention, 2 * queries * keys * width, 2 * (queries + keys) * width, 0);
    }

    /// A normalisation of so many numbers.
    pub fn norm(&mut self, numbers: usize) {
        self.push(Part::Norms, 0, 2 * numbers, 0);
    }

    /// What reads and writes so many numbers, and computes next to nothing.
    pub fn rest(&mut self, numbers: usize) {
        self.push(Part::Rest, 0, numbers, 0);
    }

    /// The first convolution adds the block's share of the timestep itself. The first normalisation joins two maps where
    /// `joins`, and writes what they are joined to.
    fn resnet(&mut self, positions: usize, [inputs, outputs]: [usize; 2], joins: bool) {
        self.push(Part::Norms, 0, (2 + usize::from(joins)) * positions * inputs, 0);
        self.convolution([positions; 2], [inputs, outputs], 9);
        let summed = FLOAT * (self.batch * positions * outputs) as f64;
        if let Some(op) = self.ops.last_mut().filter(|_| self.shifts_go_back) {
            op.summed = summed;
        }
        self.norm(positions * outputs);
        if inputs != outputs {
            self.convolution([positions; 2], [inputs, outputs], 1);
        }
        self.convolution([positions; 2], [outputs; 2], 9);
    }

    fn layer(&mut self, positions: usize, layer: &Layer) {
        self.resnet(positions, layer.resnet, layer.joined > 0);
        if let Some(transformer) = &layer.transformer {
            self.transformer(positions, transformer);
        }
    }

    fn transformer(&mut self, positions: usize, shape: &Transformer) {
        let (width, words) = (shape.width, self.words);
        self.norm(positions * width);
        self.linear(positions, width, width);
        for _ in 0..shape.blocks {
            // Queries, keys and values are one product.
            self.linear(positions, width, 3 * width);
            self.normed(positions * width);
            self.attention(positions, positions, width);
            self.linear(positions, width, width);
            self.linear(positions, width, width);
            self.normed(positions * width);
            if !self.knows_prompts {
                // Keys and values, too.
                self.linear(words, shape.context, 2 * width);
            }
            self.attention(positions, words, width);
            self.linear(positions, width, width);
            self.gated(positions, width);
        }
        self.linear(positions, width, width);
    }

    /// A gated MLP, whose products do what is around them.
    fn gated(&mut self, rows: usize, width: usize) {
        // The first writes what goes into the activation and what comes out.
        self.push(Part::Linear, rows * width * 8 * width, 13 * rows * width, 8 * width * width);
        self.normed(rows * width);
        self.linear(rows, 4 * width, width);
    }

    fn resample(&mut self, [from, to]: [usize; 2], channels: usize, up: bool) {
        let from = if up {
            self.rest((from + to) * channels);
            to
        } else {
            from
        };
        self.convolution([from, to], [channels; 2], 9);
    }

    fn text(&mut self, encoder: &ClipTextConfig, taken: Taken) {
        let (words, width, inner) = (self.words, encoder.hidden_size, encoder.intermediate_size);
        self.rest(3 * words * width);
        for _ in 0..taken.layers(encoder) {
            self.linear(words, width, 3 * width);
            self.normed(words * width);
            self.attention(words, words, width);
            self.linear(words, width, width);
            self.push(Part::Linear, words * width * inner, words * (width + 2 * inner), width * inner);
            self.normed(words * width);
            self.linear(words, inner, width);
        }
        match taken {
            Taken::LastStates => self.norm(words * width),
            Taken::PenultimateStates => {}
            Taken::PenultimateStatesAndPooled => {
                self.rest(2 * width);
                self.norm(width);
                self.linear(1, width, encoder.projection_dim);
            }
        }
    }

    fn of_picture(&mut self, stage: &Stage, positions: impl Fn(usize) -> usize, decodes: bool) {
        let at = positions(stage.level);
        for layer in &stage.layers {
            self.resnet(at, layer.resnet, false);
        }
        if stage.resamples {
            let to = positions(if decodes { stage.level - 1 } else { stage.level + 1 });
            self.resample([at, to], stage.channels(), decodes);
        }
    }

    /// The middle of the autoencoder.
    fn middle(&mut self, positions: usize, channels: usize, attends: bool) {
        self.resnet(positions, [channels; 2], false);
        if attends {
            self.norm(positions * channels);
            for _ in 0..3 {
                self.linear(positions, channels, channels);
            }
            self.attention(positions, positions, channels);
            self.linear(positions, channels, channels);
        }
        self.resnet(positions, [channels; 2], false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::predict::sizes;
    use super::*;
    use crate::checkpoint::Family;

    fn giga(ops: &[Op]) -> f64 {
        ops.iter().map(|op| op.flops).sum::<f64>() / 2e9
    }

    #[test]
    fn it_is_the_published_count() {
        let config = sizes(Family::Sd1).unwrap();
        // 401.6 billion multiplications at 512 x 512, as counted by hand; 0.180 TFLOP at 256 x 256.
        assert!((unet_flops(&config, 64) / 2e9 - 401.6).abs() < 0.5, "{}", unet_flops(&config, 64));
        assert!((unet_flops(&config, 32) / 1e12 - 0.180).abs() < 0.001, "{}", unet_flops(&config, 32));
        // Two samples are twice the arithmetic, and the weights are read once.
        let bytes = |batch| unet(&config, 64, batch).iter().map(|op| op.bytes).sum::<f64>();
        assert!((giga(&unet(&config, 64, 2)) / giga(&unet(&config, 64, 1)) - 2.0).abs() < 1e-9);
        assert!(bytes(2) < 2.0 * bytes(1) - 1.5e9, "{} {}", bytes(2), bytes(1));
        // 860 million weights in f16, each of which is read once.
        let weights = 2.0 * bytes(1) - bytes(2);
        assert!((weights / 2.0 / 1e6 - 859.0).abs() < 2.0, "{weights}");
        // Of SDXL 2,567 million; 3 trillion multiplications at 1024 x 1024 are published, by
        // counters of layers, which leave out scores and values.
        let config = sizes(Family::Sdxl).unwrap();
        let bytes = |batch| unet(&config, 128, batch).iter().map(|op| op.bytes).sum::<f64>();
        let weights = 2.0 * bytes(1) - bytes(2);
        assert!((weights / 2.0 / 1e6 - 2567.0).abs() < 3.0, "{weights}");
        let layers: Vec<Op> = unet(&config, 128, 1).into_iter().filter(|op| op.part != Part::Attention).collect();
        assert!((giga(&layers) / 2990.0 - 1.0).abs() < 0.02, "{}", giga(&layers));
        // Of its text encoders 694.7 and 123.1 million, without tables of 49,485 rows, and without the first one's last layer.
        let bytes = |batch| text(&config, batch).iter().map(|op| op.bytes).sum::<f64>();
        let weights = 2.0 * bytes(1) - bytes(2);
        assert!((weights / 2.0 / 1e6 - 709.0).abs() < 2.0, "{weights}");
    }

    #[test]
    fn a_gradient_takes_as_much_as_its_kernels_compute() {
        let config = sizes(Family::Sd1).unwrap();
        let forward = unet(&config, 64, 1);
        let backward = back(&forward);
        let of = |ops: &[Op], part: Part| ops.iter().filter(|op| op.part == part).map(|op| op.flops).sum::<f64>();
        for part in [Part::Convolutions, Part::Linear] {
            let share = of(&backward, part) / of(&forward, part);
            assert!((0.99..=1.0).contains(&share), "{part:?}: {share}");
        }
        assert!((of(&backward, Part::Attention) / of(&forward, Part::Attention) - 3.5).abs() < 1e-9);
    }

    #[test]
    fn the_autoencoder_counts_more_going_back_to_pixels() {
        let config = sizes(Family::Sd1).unwrap();
        let (encode, decode) = (giga(&autoencoder(&config, 64, false)), giga(&autoencoder(&config, 64, true)));
        // The published 1.24 trillion multiplications of the decoder, and a little more than half as many.
        assert!((decode / 1240.0 - 1.0).abs() < 0.03, "{decode}");
        assert!((0.4..0.6).contains(&(encode / decode)), "{encode}");
    }
}
