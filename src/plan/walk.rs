//! Walks through the networks without computing, to find which tensors are alive at the same time.
//!
//! The U-Net is walked by its [`Graph`], the autoencoder as `forward` of [`crate::vae`] goes; inside a block, each
//! helper follows that block's `forward` line by line, shadowed variables included, since those live to the end of
//! their function. It gives the bytes that its part needs besides its input, which its caller holds.

use super::Job;
use crate::model::ModelConfig;
use crate::ops::{EVALUATED_BYTES, PACKED_BYTES, SCORES_BYTES, has_attention_kernel};
use crate::text::{ClipTextConfig, Taken};
use crate::unet::graph::{Graph, Layer, Transformer};
use crate::unet::mlp_rows;
use crate::vae::{Budget, graph, map_bytes};

/// Bytes of a number in a computation.
const FLOAT: u64 = 4;
/// Score matrices that the composition of attention holds at its worst: scores, exponentials, probabilities.
const SCORES: u64 = 3;
/// The same in the backward pass: probabilities, their gradient, the product of both, the scores' gradient.
const SCORES_BACK: u64 = 4;

/// What a network needs besides its weights, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Going forward without a gradient; for the U-Net with what stays for all steps of a picture.
    pub forward: u64,
    /// How much of that lies in buffers of its own length: bands of the autoencoder's maps.
    pub lasting: u64,
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
    /// How much of the work memory a backward pass needs only once: blocks of a product.
    once: u64,
    tape: u64,
    /// What its backward pass holds besides what is remembered, where it is recomputed.
    back: u64,
    largest: u64,
}

/// How a model is computed.
pub(super) struct Walk<'a> {
    config: &'a ModelConfig,
    on_cpu: bool,
    scratch: u64,
}

impl<'a> Walk<'a> {
    pub fn new(config: &'a ModelConfig, on_cpu: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        Self { config, on_cpu, scratch: if on_cpu { threads * PACKED_BYTES + EVALUATED_BYTES } else { 0 } }
    }

    /// What an attention with this many heads of this width holds besides inputs and output, forward and backward, and the
    /// largest tensor of that.
    fn scores(&self, batch: u64, heads: [usize; 2], positions: u64, out: u64) -> [u64; 3] {
        let [heads, width] = heads;
        // The processor's keeps the heads' results until they are joined, and a block of scores for each thread.
        if self.on_cpu || has_attention_kernel(width) {
            return [out; 3];
        }
        let row = batch * heads as u64 * positions * FLOAT;
        // For some queries at a time.
        let matrix = (row * positions).min(SCORES_BYTES.max(row));
        [SCORES * matrix, SCORES_BACK * matrix, matrix]
    }

    /// `ResnetBlock2D` on maps of `map` bytes a channel; `joined` is how many of its inputs are joined to the others
    /// inside.
    fn resnet(&self, map: u64, inputs: usize, outputs: usize, joined: usize) -> BlockNeeds {
        let (x, y) = (map * inputs as u64, map * outputs as u64);
        // The input, the output, and between them the shortcut's copy of the input.
        let shortcut = if inputs == outputs { 0 } else { y };
        let maps = (x + y).max(2 * y + shortcut);
        let joined = if joined > 0 { x } else { 0 };
        // Back through the first normalisation: the gradients to its result, to its input, and their sum with what came
        // past the block.
        BlockNeeds {
            work: maps + self.scratch,
            once: self.scratch,
            tape: x + y,
            back: joined + 3 * x + y + self.scratch,
            largest: x.max(y),
        }
    }

    /// `Transformer2DModel` on maps of `map` bytes a channel.
    fn transformer(
        &self,
        sizes: &MapSizes,
        map: u64,
        positions: u64,
        shape: &Transformer,
        recompute: bool,
    ) -> BlockNeeds {
        let Transformer { width, heads, blocks, .. } = *shape;
        let c = map * width as u64;
        let [scores, scores_back, single] = self.scores(sizes.batch, [heads, width / heads.max(1)], positions, c);
        let [attention, attention_back] = [scores, scores_back].map(|scores| 6 * c + scores);
        let rows = sizes.batch * positions;
        // An MLP's row, c wide: normalised (which products on hardware GPUs do themselves), the gated layer's eight and
        // four, the result.
        let part = mlp_rows(rows as usize, width, recompute);
        let c_part = part.map_or(c, |part| part as u64 * width as u64 * FLOAT);
        let whole = part.is_none();
        let mlp = 3 * c + 13 * c_part;
        let remembered = if whole { 15 } else { 7 };
        let tape = c + blocks as u64 * (remembered * c + 2 * sizes.context(width));
        // Back through the gated layer: gradients to its result and to what it was made of, and those of the block's
        // input and result. In parts, these are computed again first, and gradients are put together.
        let back = if whole { 15 * c } else { 4 * c + 26 * c_part };
        let maps = (c + attention).max(mlp);
        BlockNeeds {
            work: maps,
            once: 0,
            tape,
            back: back.max(c + attention_back),
            largest: (8 * c_part).max(c).max(single),
        }
    }

    /// The U-Net on latents for pictures of a size; `recompute` is whether the backward pass computes blocks again.
    pub fn unet(&self, job: Job, recompute: bool) -> Needs {
        let graph = Graph::new(&self.config.unet);
        let sizes = MapSizes::new(self.config, job);
        let mut tally = Tally::default();
        let held = |level: usize, channels: usize| sizes.map(level) * channels as u64;
        tally.hold(held(0, graph.conv_in[1]));
        for stage in &graph.down {
            for layer in &stage.layers {
                self.layer(&mut tally, &sizes, stage.level, layer, recompute);
                tally.hold(held(stage.level, stage.channels()));
            }
            if stage.resamples {
                // The last of them is remembered only for the way up.
                tally.kept += held(stage.level, stage.channels());
                let down = held(stage.level + 1, stage.channels());
                tally.add(self.convolution(down, down), 0);
                tally.hold(down);
            }
        }
        for layer in &graph.middle.layers {
            self.layer(&mut tally, &sizes, graph.middle.level, layer, recompute);
        }
        for stage in &graph.up {
            for layer in &stage.layers {
                // A skip is freed once it has been copied into the joined map, which lives until the block is done.
                let joined = held(stage.level, layer.resnet[0]);
                tally.release(held(stage.level, layer.joined));
                tally.hold(joined);
                self.layer(&mut tally, &sizes, stage.level, layer, recompute);
                tally.release(joined);
            }
            if stage.resamples {
                let up = held(stage.level - 1, stage.channels());
                tally.add(self.convolution(2 * up, up), 0);
            }
        }
        let text = self.text(&sizes);
        Needs {
            forward: tally.worst + self.known_prompts(&sizes, &graph),
            lasting: 0,
            // Twice the largest block's maps: gradients flow back through it while its own values are still held.
            remembered: tally.tape + text + tally.largest_twice,
            recomputed: tally.kept + text / 8 + tally.largest_back,
            largest: tally.largest,
        }
    }

    /// A residual block, whose input is held, and perhaps a transformer.
    fn layer(&self, tally: &mut Tally, sizes: &MapSizes, level: usize, layer: &Layer, recompute: bool) {
        let (map, [inputs, outputs]) = (sizes.map(level), layer.resnet);
        // What it is joined with, the way down remembers.
        let kept = map * (inputs - layer.joined) as u64;
        tally.block(self.resnet(map, inputs, outputs, layer.joined), 0, kept);
        if let Some(transformer) = &layer.transformer {
            let x = map * outputs as u64;
            let needs = self.transformer(sizes, map, sizes.positions(level), transformer, recompute);
            tally.block(needs, x, x);
        }
    }

    /// Bytes of a U-Net's keys and values for one stretch of the prompts.
    pub fn stretch(&self, job: Job) -> u64 {
        self.known_prompts(&MapSizes::new(self.config, job), &Graph::new(&self.config.unet))
    }

    /// Keys and values of the prompts, which are made once for all steps of a picture.
    fn known_prompts(&self, sizes: &MapSizes, graph: &Graph) -> u64 {
        let transformers =
            graph.stages().flat_map(|stage| &stage.layers).filter_map(|layer| layer.transformer.as_ref());
        transformers.map(|Transformer { width, blocks, .. }| *blocks as u64 * 2 * sizes.context(*width)).sum()
    }

    /// What the text encoders remember.
    fn text(&self, sizes: &MapSizes) -> u64 {
        let row = sizes.batch * self.config.prompt_length() as u64 * FLOAT;
        // Inputs of the norms, queries, keys, values; the inner layer before its activation.
        let remembered = |(text, taken): (&ClipTextConfig, Taken)| {
            taken.layers(text) as u64 * (5 * text.hidden_size + text.intermediate_size) as u64
        };
        row * self.config.text_encoders.iter().zip(self.config.taken()).map(remembered).sum::<u64>()
    }

    /// The decoder on a tile for pixels of a size.
    pub fn decode(&self, job: Job, budget: &Budget) -> Needs {
        let vae = &self.config.vae;
        let mut way = Way::new(self, MapSizes::new(self.config, job), vae.last_channels(), *budget);
        self.vae_middle(&mut way.tally, &way.sizes);
        for stage in graph::decoder(vae) {
            stage.layers.iter().for_each(|layer| way.resnet(layer.resnet));
            if stage.resamples {
                way.upsampled();
            }
        }
        way.convolved(vae.out_channels);
        way.needs()
    }

    /// The encoder on a tile of pixels.
    pub fn encode(&self, job: Job, budget: &Budget) -> Needs {
        let vae = &self.config.vae;
        let latents = MapSizes::new(self.config, job);
        let mut way = Way::new(self, latents, vae.in_channels, *budget);
        let per_latent = vae.pixels_per_latent();
        way.size = way.size.map(|side| side * per_latent);
        way.convolved(vae.block_out_channels.first().copied().unwrap_or(0));
        for stage in graph::encoder(vae) {
            stage.layers.iter().for_each(|layer| way.resnet(layer.resnet));
            if stage.resamples {
                way.downsampled();
            }
        }
        way.whole();
        self.vae_middle(&mut way.tally, &way.sizes);
        way.needs()
    }

    /// The middle of either half, at the resolution of the latents.
    fn vae_middle(&self, tally: &mut Tally, sizes: &MapSizes) {
        let vae = &self.config.vae;
        let (map, channels) = (sizes.map(0), vae.last_channels());
        let x = map * channels as u64;
        tally.add(self.resnet(map, channels, channels, 0), x);
        if vae.mid_block_add_attention {
            let [scores, _, single] = self.scores(sizes.batch, [1, channels], sizes.positions(0), x);
            let work = 6 * x + scores;
            tally.add(BlockNeeds { work, largest: single.max(x), ..BlockNeeds::default() }, x);
        }
    }

    /// A convolution that changes the resolution: its values, and the largest of them.
    fn convolution(&self, values: u64, largest: u64) -> BlockNeeds {
        BlockNeeds { work: values + self.scratch, once: self.scratch, largest, ..BlockNeeds::default() }
    }
}

/// A feature map's way through one half of the autoencoder, as [`crate::vae`] goes it: whole, or in bands of rows.
struct Way<'a> {
    walk: &'a Walk<'a>,
    sizes: MapSizes,
    tally: Tally,
    budget: Budget,
    /// Height and width.
    size: [usize; 2],
    channels: usize,
    in_bands: bool,
}

impl<'a> Way<'a> {
    /// From the size of the latents.
    fn new(walk: &'a Walk<'a>, sizes: MapSizes, channels: usize, budget: Budget) -> Self {
        let size = [sizes.height as usize, sizes.width as usize];
        Self { walk, sizes, tally: Tally::default(), budget, size, channels, in_bands: false }
    }

    fn needs(self) -> Needs {
        let Tally { worst: forward, lasting, largest, .. } = self.tally;
        Needs { forward, lasting, largest, ..Needs::default() }
    }

    /// Bytes of a channel.
    fn channel(&self) -> u64 {
        map_bytes([self.size[0], self.size[1], 1])
    }

    fn resnet(&mut self, [inputs, outputs]: [usize; 2]) {
        let block = self.walk.resnet(self.channel(), inputs, outputs, 0);
        let map = [self.size[0], self.size[1], outputs];
        // What its first convolution makes lasts besides, and goes as the result comes. Copies: the input's rows, normalised
        // and with `silu`, and the residual.
        let inner = map_bytes(map);
        self.layer(map, inputs.max(outputs), self.budget.rows(map), [inner, 4], block);
    }

    /// A convolution that keeps the size.
    fn convolved(&mut self, outputs: usize) {
        let most = self.channels.max(outputs);
        let channel = self.channel();
        let block = self.walk.convolution(channel * (self.channels + outputs) as u64, channel * most as u64);
        let [height, width] = self.size;
        self.layer([height, width, outputs], most, self.budget.rows([height, width, most]), [0, 3], block);
    }

    fn upsampled(&mut self) {
        // Doubled, then convolved.
        let output = 4 * self.channel() * self.channels as u64;
        let block = self.walk.convolution(2 * output, output);
        let map = [2 * self.size[0], 2 * self.size[1], self.channels];
        self.layer(map, self.channels, self.budget.rows(map), [0, 3], block);
    }

    fn downsampled(&mut self) {
        let output = self.channel() * self.channels as u64 / 4;
        let block = self.walk.convolution(output, output);
        let map = [self.size[0] / 2, self.size[1] / 2, self.channels];
        // Two rows of the input for one of the result.
        self.layer(map, self.channels, 2 * self.budget.rows(map), [0, 2], block);
    }

    /// A layer to `map`, where the largest map on the way has `most` channels. On whole maps it needs what `block` says; in
    /// bands, `inner` bytes that last as long as the input, and some copies of a band of that.
    fn layer(&mut self, map: [usize; 3], most: usize, rows: usize, [inner, copies]: [u64; 2], block: BlockNeeds) {
        let input = self.channel() * self.channels as u64;
        let [height, width] = [0, 1].map(|side| map[side].max(self.size[side]));
        if self.budget.is_whole([height, width, most], self.in_bands) {
            self.whole();
            self.tally.add(block, input);
        } else {
            // Two rows above and two below are seen, too.
            let (band, result) = (map_bytes([(rows + 4).min(height), width, most]), map_bytes(map));
            // Bands of the input go as those of the result come, which are one ahead.
            let ahead = 2 * map_bytes([self.budget.rows(map).min(map[0]), map[1], map[2]]);
            // A whole input goes when the layer is done.
            let maps = if self.in_bands { (input + inner).max(result) + ahead } else { input + result + ahead };
            self.tally.bands(maps, copies * band + self.walk.scratch, band);
            self.in_bands = true;
        }
        (self.size, self.channels) = ([map[0], map[1]], map[2]);
    }

    /// Bands are put together.
    fn whole(&mut self) {
        if std::mem::take(&mut self.in_bands) {
            let map = self.channel() * self.channels as u64;
            self.tally.work(2 * map, 0, map);
        }
    }
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
    /// How much of the worst moment lies in bands.
    lasting: u64,
    largest: u64,
    /// The most that a block's backward pass holds: its maps twice, its weight once.
    largest_twice: u64,
    /// The most that a block's backward pass holds where it is recomputed.
    largest_back: u64,
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
        let now = self.held + maps + once;
        if now > self.worst {
            (self.worst, self.lasting) = (now, 0);
        }
        self.largest_twice = self.largest_twice.max(2 * maps + once);
        self.largest = self.largest.max(largest);
    }

    /// A layer that holds so much in bands, and so much besides.
    fn bands(&mut self, lasting: u64, values: u64, largest: u64) {
        let is_worst = lasting + values > self.worst;
        self.work(lasting + values, 0, largest);
        if is_worst {
            self.lasting = lasting;
        }
    }

    /// A block of the U-Net; `kept` is what it keeps where it is recomputed.
    fn block(&mut self, block: BlockNeeds, input: u64, kept: u64) {
        self.add(block, input);
        self.tape += block.tape;
        self.kept += kept;
        self.largest_back = self.largest_back.max(block.tape + block.back);
    }

    /// A block that is not differentiated; `input` is its input, where nothing else holds that.
    fn add(&mut self, block: BlockNeeds, input: u64) {
        self.work(input + block.work - block.once, block.once, block.largest.max(input));
    }
}
