//! The operations of the U-Net one by one, at the sizes that the model has, and what the device can do at most.
//!
//! Times are of single operations, each waited for; a network's operations overlap a little on a GPU, so their sum is
//! an upper bound of its time.

use std::time::Instant;

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use half::f16;
use serde_json::{Value, json};

use super::Bench;
use super::clock::Clock;
use super::work::{self, Network};
use crate::noise::{Noise, Stream};
use crate::ops::{
    Conv2d, Linear, Norm, Var, Weight, attention, backward, conv2d, geglu, group_norm_silu, layer_norm, linear,
};
use crate::unet::graph::Graph;
use crate::weights::Stored;
use crate::{Result, ops};

/// Side of the matrices whose product measures the device's peak.
const PROBE: usize = 1536;
/// Numbers in each vector whose sum measures its bandwidth: 64 MiB.
const STREAM: usize = 16 << 20;

/// Seconds that work should take which is timed in a row: many times the way to a GPU and back.
const IN_A_ROW: f64 = 0.02;
/// Most launches of it.
const MOST_LAUNCHES: f64 = 256.0;

/// What the device does at most, as far as our own kernels get there.
pub struct Peak {
    /// Billions of multiplications and additions a second, in a product of large square matrices.
    pub gflops: f64,
    /// Billions of bytes a second, in a sum of two long vectors.
    pub gigabytes: f64,
}

/// An operation of the U-Net at some size.
pub struct Op {
    /// What it is, and of which size.
    pub name: String,
    /// How often it is in the network.
    count: usize,
    /// What of it takes time.
    work: Vec<work::Op>,
    run: Box<dyn Fn(&Var<4>) -> Var<4>>,
    shape: [usize; 4],
}

/// Square feature maps of one sample.
#[derive(Clone, Copy)]
struct FeatureMap {
    side: usize,
    channels: usize,
}

impl FeatureMap {
    fn positions(self) -> usize {
        self.side * self.side
    }

    fn shape(self) -> [usize; 4] {
        [1, self.side, self.side, self.channels]
    }

    /// An operation on it.
    fn op(
        self,
        what: &str,
        count: usize,
        work: impl FnOnce(&mut Network),
        run: impl Fn(&Var<4>) -> Var<4> + 'static,
    ) -> Op {
        let Self { side, channels } = self;
        Op {
            name: format!("{what} {channels}, {side} x {side}"),
            count,
            work: Network::collect(work),
            run: Box::new(run),
            shape: self.shape(),
        }
    }
}

impl Bench {
    /// Measures what the device does at most.
    pub async fn peak(&self) -> Result<Peak> {
        let x = Var::constant(self.random([PROBE, PROBE]));
        let layer = Linear { weight: Weight::new(self.random([PROBE, PROBE])), bias: None };
        let product = self.least_in_a_row(|| linear(&x, &layer).into_value()).await?;
        let [a, b] = [0, 1].map(|_| Tensor::<1>::ones([STREAM], &self.device));
        let sum = self.least_in_a_row(|| a.clone() + b.clone()).await?;
        Ok(Peak {
            gflops: 2.0 * (PROBE as f64).powi(3) / product / 1e9,
            gigabytes: 3.0 * 4.0 * STREAM as f64 / sum / 1e9,
        })
    }

    /// The least seconds that work takes where much of it is done in a row: on a fast GPU a product alone takes less time
    /// than the way to the device and back.
    async fn least_in_a_row<const D: usize>(&self, work: impl Fn() -> Tensor<D>) -> Result<f64> {
        let alone = self.repeat(async || settled(work()).await).await?.min();
        let launches = (IN_A_ROW / alone).clamp(1.0, MOST_LAUNCHES) as usize;
        if launches == 1 {
            return Ok(alone);
        }
        let all = self.repeat(async || {
            for _ in 1..launches {
                work();
            }
            settled(work()).await
        });
        Ok(all.await?.min() / launches as f64)
    }

    /// Measures an operation forward and backward: a row for people, and an object for programs.
    pub async fn operation(&self, op: &Op, peak: &Peak) -> Result<(String, Value)> {
        let x = self.random(op.shape);
        let forward = self.repeat(async || settled((op.run)(&Var::constant(x.clone())).into_value()).await).await?;
        let mut clock = Clock::new(self.effort);
        loop {
            let leaf = Var::leaf(x.clone());
            let y = (op.run)(&leaf);
            ops::settle(y.value()).await?;
            let dy = Tensor::ones(y.dims(), &self.device);
            let begun = Instant::now();
            if let Some(dx) = backward(&y, dy).take(&leaf) {
                ops::settle(&dx).await?;
            }
            if clock.full(begun.elapsed().as_secs_f64()) {
                break;
            }
        }
        let back = clock.figures(self);
        let flops: f64 = op.work.iter().map(|op| op.flops).sum();
        let rate = flops / forward.min() / 1e9;
        let (count, milliseconds) = (op.count, forward.median() * 1000.0);
        let share = if flops > 0.0 {
            format!("{rate:8.1} GFLOP/s {:3.0} %", 100.0 * rate / peak.gflops)
        } else {
            let bytes = 2.0 * 4.0 * op.shape.iter().product::<usize>() as f64 / forward.min() / 1e9;
            format!("{bytes:8.1} GB/s    {:3.0} %", 100.0 * bytes / peak.gigabytes)
        };
        let row = format!("  {:34}{count:4} x {milliseconds:8.2}ms {:8.2}ms  {share}", op.name, back.median() * 1000.0);
        let object = json!({
            "op": op.name, "count": count, "shape": op.shape, "forward_s": forward.median(),
            "backward_s": back.median(), "work": [amounts(&op.work), amounts(&work::back(&op.work))],
            "gflops": if flops > 0.0 { json!(rate) } else { Value::Null },
        });
        Ok((row, object))
    }

    /// The operations, with random weights kept as the model's are.
    pub fn operations(&self) -> Vec<Op> {
        let unet = &self.session.model().config.unet;
        let (latents, graph) = (self.side as usize / self.pixels_per_latent(), Graph::new(unet));
        let mut ops = Vec::new();
        for (level, &channels) in unet.block_out_channels.iter().enumerate() {
            let map = FeatureMap { side: latents.div_ceil(1 << level), channels };
            let stages = || graph.stages().filter(move |stage| stage.level == level);
            ops.extend(self.of_resnets(map, stages().map(|stage| stage.layers.len()).sum()));
            let transformers: usize = stages().map(|stage| stage.transformers().count()).sum();
            let blocks = stages().flat_map(|stage| stage.transformers()).map(|transformer| transformer.blocks).sum();
            if transformers > 0 {
                ops.extend(self.of_transformers(map, unet.heads().at(level), [transformers, blocks]));
            }
        }
        ops
    }

    /// Those of residual blocks, of which there are so many.
    fn of_resnets(&self, map: FeatureMap, count: usize) -> [Op; 2] {
        let (channels, unet) = (map.channels, &self.session.model().config.unet);
        let (conv, norm) = (self.convolution(channels), self.norm(channels, unet.norm_num_groups));
        let (at, both) = ([map.positions(); 2], [channels; 2]);
        let values = map.positions() * channels;
        [
            map.op("convolution 3x3", 2 * count, |work| work.convolution(at, both, 9), move |x| conv2d(x, &conv)),
            map.op("group norm, silu", 2 * count, |work| work.norm(values), move |x| group_norm_silu(x, &norm)),
        ]
    }

    /// Those of transformers, of which there are so many, of so many blocks together.
    fn of_transformers(&self, map: FeatureMap, heads: usize, [transformers, blocks]: [usize; 2]) -> [Op; 6] {
        let (channels, positions, shape) = (map.channels, map.positions(), map.shape());
        let words = self.session.model().config.prompt_length();
        let (projection, norm) = (self.linear(channels, channels), self.norm(channels, 1));
        let joint = self.linear(channels, 3 * channels);
        let (wide, narrow) = (self.linear(channels, 8 * channels), self.linear(4 * channels, channels));
        let keys = Var::constant(self.random([1, words, channels]));
        let flat = move |x: &Var<4>| x.reshape([1, map.side * map.side, channels]);
        let mlp = |work: &mut Network| {
            work.linear(positions, channels, 8 * channels);
            work.rest(12 * positions * channels);
            work.linear(positions, 4 * channels, channels);
        };
        let over = |keys: usize| move |work: &mut Network| work.attention(positions, keys, channels);
        let project = |work: &mut Network| work.linear(positions, channels, channels);
        let project_jointly = |work: &mut Network| work.linear(positions, channels, 3 * channels);
        [
            // Queries, keys and values of self-attention. Going back they are three products, measured as one here.
            map.op("joint projection", blocks, project_jointly, move |x| linear(x, &joint)),
            // Both outputs of attention, queries of cross-attention, into the transformer and out of it.
            map.op("projection", 2 * transformers + 3 * blocks, project, move |x| linear(x, &projection)),
            map.op(
                "layer norm",
                3 * blocks,
                |work| work.norm(positions * channels),
                move |x| layer_norm(&flat(x), &norm).reshape(shape),
            ),
            map.op("gated MLP", blocks, mlp, move |x| linear(&geglu(&linear(x, &wide)), &narrow)),
            map.op("self-attention", blocks, over(positions), move |x| {
                let x = flat(x);
                attention(&x, &x, &x, heads, false).reshape(shape)
            }),
            map.op("cross-attention", blocks, over(words), move |x| {
                attention(&flat(x), &keys, &keys, heads, false).reshape(shape)
            }),
        ]
    }

    /// A weight that is kept as the model's U-Net is.
    fn weight(&self, shape: [usize; 2]) -> Weight<2> {
        weight(shape, self.session.model().unet.stored(), &self.device)
    }

    fn linear(&self, inputs: usize, outputs: usize) -> Linear {
        let bias = Some(Weight::new(Tensor::zeros([outputs], &self.device)));
        Linear { weight: self.weight([outputs, inputs]), bias }
    }

    fn convolution(&self, channels: usize) -> Conv2d {
        let bias = Some(Weight::new(Tensor::zeros([channels], &self.device)));
        Conv2d { weight: self.weight([channels, 9 * channels]), bias, kernel: [3; 2], stride: 1, padding: [1; 4] }
    }

    fn norm(&self, channels: usize, groups: usize) -> Norm {
        let [weight, bias] = [0, 1].map(|_| Weight::new(Tensor::ones([channels], &self.device)));
        Norm { weight, bias, eps: 1e-5, groups }
    }
}

/// A weight that is kept so, in f16 where rows of blocks in eight bits are not whole. Halves are made on the host: a GPU that
/// keeps them need not have their type.
fn weight(shape: [usize; 2], stored: Stored, device: &Device) -> Weight<2> {
    let spread = 1.0 / (shape[1] as f32).sqrt();
    let mut values = Noise::new(0).draws(0, Stream::Latents).normals(shape.iter().product());
    values.iter_mut().for_each(|value| *value *= spread);
    let floats = |bytes, dtype| {
        let data = TensorData::from_bytes(Bytes::from_bytes_vec(bytes), shape, dtype);
        Weight::new(Tensor::from_data(data, (device, dtype)))
    };
    let halves = || values.iter().flat_map(|value| f16::from_f32(*value).to_ne_bytes()).collect();
    match stored {
        Stored::F32 => floats(values.into_iter().flat_map(f32::to_ne_bytes).collect(), DType::F32),
        Stored::F16 => floats(halves(), DType::F16),
        Stored::Q8 => Weight::in_eight_bits(&values, shape, device).unwrap_or_else(|| floats(halves(), DType::F16)),
    }
}

/// How much of it there is, in billions, for programs; apart what is computed in f16 where products are made so.
fn amounts(ops: &[work::Op]) -> Value {
    let sum = |what: fn(&work::Op) -> f64| ops.iter().map(what).sum::<f64>() / 1e9;
    let half = |op: &work::Op| if op.halves { op.flops } else { 0.0 };
    let with_matrices = |op: &work::Op| if op.halves && op.needs_matrices() { op.flops } else { 0.0 };
    json!({
        "gflop": sum(|op| op.flops), "half_gflop": sum(half), "matrices_gflop": sum(with_matrices),
        "gigabytes": sum(|op| op.bytes),
    })
}

async fn settled<const D: usize>(tensor: Tensor<D>) -> Result<()> {
    ops::settle(&tensor).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::noop;
    use crate::ops::LaunchCounter;

    #[test]
    fn weights_that_are_narrow_ask_nothing_of_the_gpu() {
        let device = noop::start().unwrap().device;
        let launches = LaunchCounter::start();
        for stored in [Stored::F32, Stored::F16, Stored::Q8] {
            assert_eq!(weight([8, 64], stored, &device).dtype(), stored.dtype());
        }
        // Other tests may launch something meanwhile, but convert nothing.
        let launched = launches.take().by_kernel();
        assert!(!launched.iter().any(|(kernel, _)| kernel.to_lowercase().contains("cast")), "{launched:?}");
    }
}
