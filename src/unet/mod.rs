//! The U-Net: predicts the noise in latents, given a timestep and a prompt's hidden states.
//!
//! Follows `UNet2DConditionModel` of diffusers
//! (<https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/unets/unet_2d_condition.py>). Names of
//! fields are names of weights. Feature maps are `[B, H, W, C]`.

mod config;
mod embedding;
pub mod graph;
pub(crate) mod resnet;
mod transformer;
mod watch;

use std::ops::Range;
use std::rc::Rc;

use burn::tensor::Tensor;

pub use config::{Added, PerLevel, SampleSize, TIME_IDS, UnetConfig};
use embedding::{AddedEmbedding, TimeEmbedding};
use graph::{Graph, Stage};
use resnet::{Downsample2D, ResnetBlock2D, Upsample2D};
pub(crate) use transformer::mlp_rows;
use transformer::{KeysAndValues, Prompts, Transformer2DModel};
use watch::Watch;

use crate::Result;
use crate::ops::{Conv2d, Linear, Linears, Norm, Var, conv2d, group_norm_silu};
use crate::ops::{linears_side_by_side, recompute};
use crate::weights::{Stored, Weights};

/// Residual blocks, each perhaps followed by a transformer, at one resolution.
struct Block {
    resnets: Vec<Rc<ResnetBlock2D>>,
    attentions: Vec<Rc<Transformer2DModel>>,
    /// Transformers in the blocks before this one.
    before: usize,
}

/// The U-Net with its weights.
pub struct Unet {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    /// In models that are told more about a picture than its prompt's states.
    add_embedding: Option<AddedEmbedding>,
    /// What every residual block makes of the time embedding.
    time_projections: Linears,
    down_blocks: Vec<(Block, Option<Downsample2D>)>,
    mid_block: Block,
    up_blocks: Vec<(Block, Option<Upsample2D>)>,
    conv_norm_out: Norm,
    conv_out: Conv2d,
}

/// The size of a picture before it was cut, where the part that is seen begins, and the size of that: height and width, top and
/// left, height and width, all in pixels (SDXL's micro-conditioning).
pub type TimeIds = [f32; TIME_IDS];

/// What a U-Net is told about the pictures besides their latents and timesteps.
#[derive(Clone)]
pub struct Conditions {
    /// The prompts' hidden states, `[B, T, D]` (diffusers: `encoder_hidden_states`).
    pub states: Var<3>,
    /// What SDXL is told, too: a vector for each prompt `[B, P]`, and the picture's sizes (diffusers: `text_embeds` and
    /// `time_ids` of `added_cond_kwargs`).
    pub added: Option<(Var<2>, Vec<TimeIds>)>,
}

impl Conditions {
    /// Of a model that is told nothing but the prompts' hidden states.
    pub fn of_states(states: Var<3>) -> Self {
        Self { states, added: None }
    }

    /// For so many pictures a prompt: each is repeated, without its history.
    pub fn repeated(&self, count: usize) -> Self {
        let [prompts, length, width] = self.states.dims();
        let states = self.states.value().clone().reshape([prompts, 1, length, width]).repeat_dim(1, count);
        let states = Var::constant(states.reshape([prompts * count, length, width]));
        let added = self.added.as_ref().map(|(vectors, sizes)| {
            let width = vectors.dims()[1];
            let vectors = vectors.value().clone().reshape([prompts, 1, width]).repeat_dim(1, count);
            let sizes = sizes.iter().flat_map(|ids| std::iter::repeat_n(*ids, count)).collect();
            (Var::constant(vectors.reshape([prompts * count, width])), sizes)
        });
        Self { states, added }
    }

    /// Those of some of the prompts.
    pub fn of(&self, prompts: Range<usize>) -> Self {
        let (first, count) = (prompts.start, prompts.len());
        let states = Var::constant(self.states.value().clone().narrow(0, first, count));
        let added = self.added.as_ref().map(|(vectors, sizes)| {
            (Var::constant(vectors.value().clone().narrow(0, first, count)), sizes[prompts.clone()].to_vec())
        });
        Self { states, added }
    }

    /// With zeros for all that the first prompt says.
    pub fn with_zeros_first(self) -> Self {
        let zeroed = |value: Tensor<3>| {
            let [prompts, length, width] = value.dims();
            let zeros = Tensor::zeros([1, length, width], &value.device());
            Tensor::cat(vec![zeros, value.narrow(0, 1, prompts - 1)], 0)
        };
        let states = Var::constant(zeroed(self.states.into_value()));
        let added = self.added.map(|(vectors, sizes)| {
            let [prompts, width] = vectors.dims();
            let vectors = zeroed(vectors.into_value().reshape([prompts, 1, width])).reshape([prompts, width]);
            (Var::constant(vectors), sizes)
        });
        Self { states, added }
    }
}

/// What is the same in all steps of a picture: the keys and values that the transformers of a U-Net make of prompts, and what is
/// added to the time embedding.
pub struct PromptKeysAndValues {
    made: Vec<KeysAndValues>,
    added: Option<Var<2>>,
}

/// What every block of one forward pass shares.
struct Pass<'a> {
    /// What all residual blocks make of `silu` of the time embedding, side by side: a row for each sample.
    time: Var<2>,
    prompts: Prompts<'a, [KeysAndValues]>,
    /// Who looks at how much is of some words; not where blocks are run again.
    watch: Option<&'a Watch>,
    /// Whether blocks are run again in the backward pass.
    recompute: bool,
}

/// The projections of the time embedding that are left for blocks to be loaded, and how many columns come before.
struct TimeProjections<'a> {
    left: std::slice::IterMut<'a, Linear>,
    columns: usize,
}

impl<'a> Iterator for TimeProjections<'a> {
    type Item = (&'a mut Linear, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let projection = self.left.next()?;
        let from = self.columns;
        self.columns += projection.weight.dims()[0];
        Some((projection, from..self.columns))
    }
}

/// The projections of the time embedding, in the order of the blocks: names and outputs.
fn time_projections(graph: &Graph) -> Vec<(String, usize)> {
    let of_stage = |stage: &Stage| {
        let name = |i: usize| format!("{}.resnets.{i}.time_emb_proj", stage.path);
        stage.layers.iter().enumerate().map(|(i, layer)| (name(i), layer.resnet[1])).collect::<Vec<_>>()
    };
    graph.stages().flat_map(of_stage).collect()
}

impl Block {
    /// Loads the blocks of a stage.
    async fn load(
        weights: &Weights<'_>,
        config: &UnetConfig,
        time: &mut TimeProjections<'_>,
        before: usize,
        stage: &Stage,
    ) -> Result<Self> {
        let weights = weights.at(&stage.path);
        let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
        for (i, layer) in stage.layers.iter().enumerate() {
            let resnet = weights.at("resnets").at(i);
            let (groups, eps) = (config.norm_num_groups, config.norm_eps);
            let mut resnet = ResnetBlock2D::load(resnet, layer.resnet, groups, eps).await?;
            if let Some((projection, columns)) = time.next() {
                resnet.shifted_by(projection, columns);
            }
            resnets.push(Rc::new(resnet));
        }
        for (i, transformer) in stage.transformers().enumerate() {
            let attention = weights.at("attentions").at(i);
            let groups = config.norm_num_groups;
            attentions.push(Rc::new(Transformer2DModel::load(attention, transformer, groups).await?));
        }
        Ok(Self { resnets, attentions, before })
    }

    /// Of `x` and, behind it, what it is joined with.
    fn resnet(&self, i: usize, x: &Var<4>, skip: Option<&Var<4>>, pass: &Pass<'_>) -> Var<4> {
        let resnet = self.resnets[i].clone();
        let Some(skip) = skip else {
            if !pass.recompute {
                return resnet.forward(x, Some(&pass.time));
            }
            let block = move |x: &Var<4>, _: &Var<4>, time: &Var<2>| resnet.forward(x, Some(time));
            return recompute((x, x, &pass.time), block);
        };
        let joined = move |x: &Var<4>, skip: &Var<4>, time: &Var<2>| resnet.forward_joined(x, skip, time);
        // Joined inside: what is remembered is two maps, of which others remember one, too.
        if pass.recompute { recompute((x, skip, &pass.time), joined) } else { joined(x, skip, &pass.time) }
    }

    fn attention(&self, i: usize, x: &Var<4>, pass: &Pass<'_>) -> Var<4> {
        let Some(attention) = self.attentions.get(i) else { return x.clone() };
        match pass.prompts.of_part(|made| &made[self.before + i]) {
            Prompts::States(states) if pass.recompute => {
                let attention = attention.clone();
                let block = move |x: &Var<4>, states: &Var<3>, _: &Var<3>| {
                    attention.forward(x, Prompts::States(states), None, true)
                };
                recompute((x, states, states), block)
            }
            prompts => attention.forward(x, prompts, pass.watch, false),
        }
    }
}

impl Unet {
    /// Loads the U-Net.
    pub async fn load(weights: &Weights<'_>, config: &UnetConfig) -> Result<Self> {
        let graph = Graph::new(config);
        let first = graph.conv_in[1];
        let conv_in = weights.conv2d("conv_in", graph.conv_in, 3, 1, [1; 4]).await?;
        let time_embedding = TimeEmbedding::load(weights.at("time_embedding"), config).await?;
        let added = config.added().ok().flatten();
        let add_embedding = match added {
            Some(shape) => Some(AddedEmbedding::load(weights.at("add_embedding"), config, shape).await?),
            None => None,
        };
        let mut projections = weights.linears(&time_projections(&graph), graph.time, true).await?;
        let mut time = TimeProjections { left: projections.iter_mut(), columns: 0 };
        let (mut down_blocks, mut before) = (Vec::new(), 0);
        for stage in &graph.down {
            let block = Block::load(weights, config, &mut time, before, stage).await?;
            before += block.attentions.len();
            let downsampler = if stage.resamples {
                let (at, padding) = (weights.at(&stage.path).at("downsamplers.0"), [1; 4]);
                Some(Downsample2D::load(at, stage.channels(), padding).await?)
            } else {
                None
            };
            down_blocks.push((block, downsampler));
        }
        let mid_block = Block::load(weights, config, &mut time, before, &graph.middle).await?;
        before += mid_block.attentions.len();
        let mut up_blocks = Vec::new();
        for stage in &graph.up {
            let block = Block::load(weights, config, &mut time, before, stage).await?;
            before += block.attentions.len();
            let upsampler = if stage.resamples {
                Some(Upsample2D::load(weights.at(&stage.path).at("upsamplers.0"), stage.channels()).await?)
            } else {
                None
            };
            up_blocks.push((block, upsampler));
        }
        let conv_norm_out = weights.norm("conv_norm_out", first, config.norm_num_groups, config.norm_eps).await?;
        let conv_out = weights.conv2d("conv_out", graph.conv_out, 3, 1, [1; 4]).await?;
        let time_projections = Linears::new(projections);
        Ok(Self {
            conv_in,
            time_embedding,
            add_embedding,
            time_projections,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out,
            conv_out,
        })
    }

    /// How its matrices are stored.
    pub fn stored(&self) -> Stored {
        self.time_embedding.stored()
    }

    /// Predicts noise (or velocity) `[B, H, W, 4]` in `sample` `[B, H, W, 4]`, each sample at its own timestep, under some
    /// conditions.
    ///
    /// With `recompute`, blocks remember only their inputs and are run again in the backward pass.
    pub fn forward(&self, sample: &Tensor<4>, timesteps: &[f32], given: &Conditions, recompute: bool) -> Var<4> {
        let added = self.added(given);
        self.pass(sample, (timesteps, added.as_ref()), Prompts::States(&given.states), None, recompute)
    }

    /// How much positions of the feature maps look at some words, while noise is predicted as in [`Unet::forward`]: `[B, s, s]` of
    /// square pictures, the mean over all heads and transformers of those maps whose side s is nearest to 16. `words`
    /// has for each token of the prompts `[B, T]` 1 if it is one of them, and 0.
    pub fn attended(
        &self,
        sample: &Tensor<4>,
        timesteps: &[f32],
        given: &Conditions,
        words: Tensor<2>,
    ) -> Option<Tensor<3>> {
        let (added, watch) = (self.added(given), Watch::new(words));
        self.pass(sample, (timesteps, added.as_ref()), Prompts::States(&given.states), Some(&watch), false);
        watch.into_mean()
    }

    /// What of some conditions is the same in all steps of a picture.
    pub fn keys_and_values(&self, given: &Conditions) -> PromptKeysAndValues {
        let made = |block: &Block| {
            block.attentions.iter().map(|attention| attention.keys_and_values(&given.states)).collect::<Vec<_>>()
        };
        let down = self.down_blocks.iter().map(|(block, _)| block);
        let up = self.up_blocks.iter().map(|(block, _)| block);
        let made = down.chain([&self.mid_block]).chain(up).flat_map(made).collect();
        PromptKeysAndValues { made, added: self.added(given) }
    }

    /// [`Unet::forward`] for prompts whose [keys and values](Self::keys_and_values) were made before, without a gradient.
    pub fn predict(&self, sample: &Tensor<4>, timesteps: &[f32], prompts: &PromptKeysAndValues) -> Tensor<4> {
        let (time, made) = ((timesteps, prompts.added.as_ref()), Prompts::Made(&prompts.made[..]));
        self.pass(sample, time, made, None, false).into_value()
    }

    /// What is added to the time embedding.
    ///
    /// # Panics
    /// If this U-Net must be told more than it is.
    fn added(&self, given: &Conditions) -> Option<Var<2>> {
        let embedding = self.add_embedding.as_ref()?;
        let (text_embeds, time_ids) = given.added.as_ref().expect("an SDXL U-Net is told a picture's sizes");
        Some(embedding.forward(text_embeds, time_ids))
    }

    /// What the U-Net sees in noisy latents `[B, H, W, 4]`, each at its own timestep: what its first block and its middle make of them,
    /// `[B, h, w, C]`. The first says how a picture looks (colours, surfaces), the second what it shows.
    pub fn features(&self, sample: &Tensor<4>, timesteps: &[f32], given: &Conditions) -> [Tensor<4>; 2] {
        let added = self.added(given);
        let pass = self.begin((timesteps, added.as_ref()), Prompts::States(&given.states), None, false, sample);
        let (middle, skips) = self.descend(sample, &pass);
        // Behind the first convolution come the outputs of the first block's layers.
        [&skips[self.down_blocks[0].0.resnets.len()], &middle].map(|map| map.value().clone())
    }

    fn begin<'a>(
        &self,
        (timesteps, added): (&[f32], Option<&Var<2>>),
        prompts: Prompts<'a, [KeysAndValues]>,
        watch: Option<&'a Watch>,
        recompute: bool,
        sample: &Tensor<4>,
    ) -> Pass<'a> {
        let embedding = self.time_embedding.forward(timesteps, added, &sample.device());
        Pass { time: linears_side_by_side(&embedding, &self.time_projections), prompts, watch, recompute }
    }

    /// What the middle makes of a sample, and all that is handed over to the way up.
    fn descend(&self, sample: &Tensor<4>, pass: &Pass<'_>) -> (Var<4>, Vec<Var<4>>) {
        let mut x = conv2d(&Var::constant(sample.clone()), &self.conv_in);
        let mut skips = vec![x.clone()];
        for (block, downsampler) in &self.down_blocks {
            for i in 0..block.resnets.len() {
                x = block.attention(i, &block.resnet(i, &x, None, pass), pass);
                skips.push(x.clone());
            }
            if let Some(downsampler) = downsampler {
                x = downsampler.forward(&x);
                skips.push(x.clone());
            }
        }
        x = self.mid_block.resnet(0, &x, None, pass);
        x = self.mid_block.attention(0, &x, pass);
        (self.mid_block.resnet(1, &x, None, pass), skips)
    }

    fn pass(
        &self,
        sample: &Tensor<4>,
        time: (&[f32], Option<&Var<2>>),
        prompts: Prompts<'_, [KeysAndValues]>,
        watch: Option<&Watch>,
        recompute: bool,
    ) -> Var<4> {
        let pass = self.begin(time, prompts, watch, recompute, sample);
        let (mut x, mut skips) = self.descend(sample, &pass);
        for (block, upsampler) in &self.up_blocks {
            for i in 0..block.resnets.len() {
                let skip = skips.pop();
                x = block.attention(i, &block.resnet(i, &x, skip.as_ref(), &pass), &pass);
            }
            if let (Some(upsampler), Some(skip)) = (upsampler, skips.last()) {
                // Its size, since an odd one was halved upwards on the way down.
                let [_, height, width, _] = skip.dims();
                x = upsampler.forward(&x, [height, width]);
            }
        }
        conv2d(&group_norm_silu(&x, &self.conv_norm_out), &self.conv_out)
    }
}
