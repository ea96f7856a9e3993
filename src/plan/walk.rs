//! Walks through the networks without computing, to find which tensors are alive at the same time.
//!
//! The U-Net is walked by its [`Graph`], the autoencoder as `forward` of [`crate::vae`] goes; inside a block, each
//! helper follows that block's `forward` line by line, shadowed variables included, since those live to the end of
//! their function. It gives the bytes that its part needs besides its input, which its caller holds.

use super::Job;
use crate::model::ModelConfig;
use crate::ops::{PACKED_BYTES, has_attention_kernel};
use crate::unet::graph::{Graph, Layer, Stage, Transformer};
use crate::vae::graph;
use crate::weights::Stored;

/// Bytes of a number in a computation.
const FLOAT: u64 = 4;
/// Score matrices that the composition of attention holds at its worst: scores, exponentials, probabilities.
const SCORES: u64 = 3;

/// What a network needs besides its weights, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Going forward without a gradient.
    pub forward: u64,
    /// Forward and backward, with everything remembered that a backward pass needs.
    pub remembered: u64,
    /// Forward and backward, recomputing blocks.
    pub recomputed: u64,
    /// The largest tensor.
    pub largest: u64,
}

/// A block: what it needs to compute, what it remembers, its largest tensor.
#[derive(Debug, Clone, Copy, Default)]
struct BlockNeeds {
    work: u64,
    /// How much of the work memory a backward pass needs only once: a widened weight, blocks of a product.
    once: u64,
    tape: u64,
    largest: u64,
}

/// How a model is computed.
pub(super) struct Walk<'a> {
    config: &'a ModelConfig,
    /// Weights are widened only while they are used: halves are, except on the processor, whose products read them as
    /// they are.
    widens: bool,
    on_cpu: bool,
    scratch: u64,
}

impl<'a> Walk<'a> {
    pub fn new(config: &'a ModelConfig, narrowest: Stored, on_cpu: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        Self {
            config,
            widens: narrowest != Stored::F32 && !on_cpu,
            on_cpu,
            scratch: if on_cpu { threads * PACKED_BYTES } else { 0 },
        }
    }

    /// A widened weight of this many numbers.
    fn widened(&self, numbers: usize) -> u64 {
        if self.widens { numbers as u64 * FLOAT } else { 0 }
    }

    /// What an attention with this many heads of this width holds besides inputs and output, and the largest tensor of
    /// that.
    fn scores(&self, batch: u64, heads: [usize; 2], positions: u64, out: u64) -> (u64, u64) {
        let [heads, width] = heads;
        // The processor's keeps the heads' results until they are joined, and a block of scores for each thread.
        if self.on_cpu || has_attention_kernel(width) {
            return (out, out);
        }
        let matrix = batch * heads as u64 * positions * positions * FLOAT;
        (SCORES * matrix, matrix)
    }

    /// `ResnetBlock2D` on maps of `map` bytes a channel.
    fn resnet(&self, map: u64, inputs: usize, outputs: usize) -> BlockNeeds {
        let (x, y) = (map * inputs as u64, map * outputs as u64);
        // Maps, and what exists only once: the weight in use.
        let first = (x + y, self.widened(9 * inputs * outputs) + self.scratch);
        // The input, the output, and between them the shortcut's copy of the input.
        let shortcut = if inputs == outputs { 0 } else { y };
        let second = (2 * y + shortcut, self.widened(9 * outputs * outputs) + self.scratch);
        let (maps, once) = worst(&[first, second]);
        BlockNeeds { work: maps + once, once, tape: x + y, largest: x.max(y) }
    }

    /// `Transformer2DModel` on maps of `map` bytes a channel.
    fn transformer(&self, sizes: &MapSizes, map: u64, positions: u64, shape: &Transformer) -> BlockNeeds {
        let Transformer { width, heads, blocks, .. } = *shape;
        let c = map * width as u64;
        let (scores, single) = self.scores(sizes.batch, [heads, width / heads.max(1)], positions, c);
        let attention = 6 * c + scores;
        // Four maps by then, the gated layer's eight and four.
        let mlp = (16 * c, self.widened(8 * width * width));
        let tape = c + blocks as u64 * (15 * c + 2 * sizes.context(width));
        let (maps, once) = worst(&[(c + attention, 0), mlp]);
        BlockNeeds { work: maps + once, once, tape, largest: (8 * c).max(single) }
    }

    /// The U-Net on latents for pictures of a size.
    pub fn unet(&self, job: Job) -> Needs {
        let graph = Graph::new(&self.config.unet);
        let sizes = MapSizes::new(self.config, job);
        let mut tally = Tally::default();
        let held = |level: usize, channels: usize| sizes.map(level) * channels as u64;
        tally.hold(held(0, graph.conv_in[1]));
        for stage in &graph.down {
            for layer in &stage.layers {
                self.layer(&mut tally, &sizes, stage.level, layer);
                tally.hold(held(stage.level, stage.channels()));
            }
            if stage.resamples {
                let down = held(stage.level + 1, stage.channels());
                tally.add(self.convolution(down, down, stage.channels()), 0);
                tally.hold(down);
            }
        }
        for layer in &graph.middle.layers {
            self.layer(&mut tally, &sizes, graph.middle.level, layer);
        }
        for stage in &graph.up {
            for layer in &stage.layers {
                // A skip is freed once it has been copied into the joined map, which lives until the block is done.
                let joined = held(stage.level, layer.resnet[0]);
                tally.release(held(stage.level, layer.joined));
                tally.hold(joined);
                self.layer(&mut tally, &sizes, stage.level, layer);
                tally.release(joined);
            }
            if stage.resamples {
                let up = held(stage.level - 1, stage.channels());
                tally.add(self.convolution(2 * up, up, stage.channels()), 0);
            }
        }
        let text = self.text(&sizes);
        Needs {
            forward: tally.worst,
            // Twice the largest block's maps: gradients flow back through it while its own values are still held.
            remembered: tally.tape + text + tally.largest_twice,
            recomputed: tally.kept + text / 8 + tally.largest_tape + tally.largest_twice,
            largest: tally.largest,
        }
    }

    /// A residual block, whose input is held, and perhaps a transformer.
    fn layer(&self, tally: &mut Tally, sizes: &MapSizes, level: usize, layer: &Layer) {
        let (map, [inputs, outputs]) = (sizes.map(level), layer.resnet);
        tally.block(self.resnet(map, inputs, outputs), 0, map * inputs as u64);
        if let Some(transformer) = &layer.transformer {
            let x = map * outputs as u64;
            tally.block(self.transformer(sizes, map, sizes.positions(level), transformer), x, x);
        }
    }

    /// What the text encoders remember.
    fn text(&self, sizes: &MapSizes) -> u64 {
        let row = sizes.batch * self.config.prompt_length() as u64 * FLOAT;
        // Inputs of the norms, queries, keys, values; the inner layer before its activation.
        let layers = self
            .config
            .text_encoders
            .iter()
            .map(|text| text.num_hidden_layers as u64 * (5 * text.hidden_size + text.intermediate_size) as u64);
        row * layers.sum::<u64>()
    }

    /// The decoder on a tile for pixels of a size.
    pub fn decode(&self, job: Job) -> Needs {
        // Doubled, then convolved.
        self.half_of_vae(job, &graph::decoder(&self.config.vae), |map| (4 * map, 2))
    }

    /// The encoder on a tile of pixels.
    pub fn encode(&self, job: Job) -> Needs {
        self.half_of_vae(job, &graph::encoder(&self.config.vae), |map| (map / 4, 1))
    }

    /// One half of the autoencoder; `resampled` is what a change of the resolution makes of a map, and how many such
    /// maps live at the same time.
    fn half_of_vae(&self, job: Job, stages: &[Stage], resampled: impl Fn(u64) -> (u64, u64)) -> Needs {
        let sizes = MapSizes::new(self.config, job);
        let mut tally = Tally::default();
        for stage in stages {
            let map = sizes.map_up(stages.len() - 1 - stage.level);
            for [inputs, outputs] in stage.layers.iter().map(|layer| layer.resnet) {
                tally.add(self.resnet(map, inputs, outputs), map * inputs as u64);
            }
            if stage.resamples {
                let input = map * stage.channels() as u64;
                let (output, copies) = resampled(input);
                tally.add(self.convolution(copies * output, output, stage.channels()), input);
            }
        }
        self.vae_middle(&mut tally, &sizes);
        Needs { forward: tally.worst, largest: tally.largest, ..Needs::default() }
    }

    /// The middle of either half, at the resolution of the latents.
    fn vae_middle(&self, tally: &mut Tally, sizes: &MapSizes) {
        let vae = &self.config.vae;
        let (map, channels) = (sizes.map(0), vae.last_channels());
        let x = map * channels as u64;
        tally.add(self.resnet(map, channels, channels), x);
        if vae.mid_block_add_attention {
            let (scores, single) = self.scores(sizes.batch, [1, channels], sizes.positions(0), x);
            tally.add(BlockNeeds { work: 6 * x + scores, once: 0, tape: 0, largest: single.max(x) }, x);
        }
    }

    /// A convolution that changes the resolution: its values, the largest of them, and its weight.
    fn convolution(&self, values: u64, largest: u64, channels: usize) -> BlockNeeds {
        let once = self.widened(9 * channels * channels) + self.scratch;
        BlockNeeds { work: values + once, once, tape: 0, largest }
    }
}

/// The moment of a block that holds most: maps, and what exists only once.
fn worst(moments: &[(u64, u64)]) -> (u64, u64) {
    moments.iter().copied().max_by_key(|(maps, once)| maps + once).unwrap_or_default()
}

/// Sizes of feature maps.
struct MapSizes {
    batch: u64,
    height: u64,
    width: u64,
    /// Bytes of a channel of the prompts' hidden states.
    tokens: u64,
}

impl MapSizes {
    fn new(config: &ModelConfig, job: Job) -> Self {
        let per_latent = config.vae.pixels_per_latent() as u64;
        let batch = u64::from(job.batch);
        Self {
            batch,
            height: u64::from(job.height) / per_latent,
            width: u64::from(job.width) / per_latent,
            tokens: batch * config.prompt_length() as u64 * FLOAT,
        }
    }

    /// Positions of a level of the U-Net.
    fn positions(&self, level: usize) -> u64 {
        self.height.div_ceil(1 << level) * self.width.div_ceil(1 << level)
    }

    /// Bytes of a channel of a level of the U-Net; level 0 is the size of the latents.
    fn map(&self, level: usize) -> u64 {
        self.batch * self.positions(level) * FLOAT
    }

    /// Bytes of a channel after this many doublings of the latents.
    fn map_up(&self, doublings: usize) -> u64 {
        self.map(0) << (2 * doublings)
    }

    /// Keys or values of a cross-attention.
    fn context(&self, width: usize) -> u64 {
        self.tokens * width as u64
    }
}

/// What is alive, and the most that was alive at once.
#[derive(Default)]
struct Tally {
    /// Values that wait for later: the U-Net's skips.
    held: u64,
    worst: u64,
    largest: u64,
    /// The most that a block's backward pass holds: its maps twice, its weight once.
    largest_twice: u64,
    largest_tape: u64,
    /// All that is remembered.
    tape: u64,
    /// All inputs of blocks.
    kept: u64,
}

impl Tally {
    fn hold(&mut self, bytes: u64) {
        self.held += bytes;
    }

    fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    fn work(&mut self, maps: u64, once: u64, largest: u64) {
        self.worst = self.worst.max(self.held + maps + once);
        self.largest_twice = self.largest_twice.max(2 * maps + once);
        self.largest = self.largest.max(largest);
    }

    /// A block of the U-Net; `kept` is what it keeps where it is recomputed.
    fn block(&mut self, block: BlockNeeds, input: u64, kept: u64) {
        self.add(block, input);
        self.tape += block.tape;
        self.kept += kept;
        self.largest_tape = self.largest_tape.max(block.tape);
    }

    /// A block that is not differentiated; `input` is its input, where nothing else holds that.
    fn add(&mut self, block: BlockNeeds, input: u64) {
        self.work(input + block.work - block.once, block.once, block.largest.max(input));
    }
}
