//! Scaled dot-product attention.

use burn::tensor::{Tensor, activation::softmax};

#[cfg(not(target_family = "wasm"))]
use super::cpu;
use super::wgsl::{self, parts_of_a_submission, submit_before};
use super::{Backend, Var};

/// `softmax(q k^T / sqrt(d)) v` in each of `heads` heads, for `q` `[B, N, H d]`, `k` and `v` `[B, M, H d]`:
/// `[B, N, H d]`.
///
/// With `causal`, a query sees the keys up to its own position. Probabilities are computed again in the backward pass,
/// so only the inputs are kept (and, on wgpu, the result and a number for each query).
pub fn attention(q: &Var<3>, k: &Var<3>, v: &Var<3>, heads: usize, causal: bool) -> Var<3> {
    attend(q, k, v, heads, causal, false)
}

/// The same in f32, in whatever precision products are made.
pub fn attention_exact(q: &Var<3>, k: &Var<3>, v: &Var<3>, heads: usize, causal: bool) -> Var<3> {
    attend(q, k, v, heads, causal, true)
}

fn attend(q: &Var<3>, k: &Var<3>, v: &Var<3>, heads: usize, causal: bool, exact: bool) -> Var<3> {
    let inputs = [q, k, v];
    let [qv, kv, vv] = inputs.map(Var::value);
    let composed = || {
        let backward = move |inputs: [&Tensor<3>; 3], dy: &Tensor<3>| reference_backward(inputs, dy, heads, causal);
        recorded(inputs, reference(qv, kv, vv, heads, causal), backward)
    };
    match Backend::of(qv) {
        Backend::Wgpu => wgsl::Attention::of(qv, kv, heads, causal, exact).map_or_else(composed, |kernels| {
            let (y, logsumexp) = kernels.forward(qv, kv, vv);
            recorded(inputs, y.clone(), move |inputs, dy| kernels.backward(inputs, (&y, &logsumexp), dy))
        }),
        #[cfg(not(target_family = "wasm"))]
        Backend::Cpu => recorded(inputs, cpu::attention(qv, kv, vv, heads, causal), move |inputs, dy| {
            cpu::attention_backward(inputs, dy, heads, causal)
        }),
        Backend::Reference => composed(),
    }
}

/// The same, causal, past keys that no query sees: those where `hidden` `[B, M]` is 1 and not 0. Made of plain operations, and
/// without a gradient: few prompts ask for it.
pub fn attention_past(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, hidden: &Tensor<2>) -> Tensor<3> {
    let [batch, keys] = hidden.dims();
    let scores = (split(q, heads) * scale(q, heads)).matmul(split(k, heads).swap_dims(2, 3));
    let scores = scores + causal_mask(q.dims()[1], keys, &q.device());
    let scores = scores + hidden.clone().reshape([batch, 1, 1, keys]) * UNSEEN;
    join(softmax(scores, 3).matmul(split(v, heads)))
}

/// Bytes of the scores that the composition holds at a time: about three of them, and four in the backward pass.
pub const SCORES_BYTES: u64 = 16 << 20;

/// The result `y` of an attention, whose `backward` makes the gradients to the inputs from these and the gradient to
/// `y`.
fn recorded(
    inputs: [&Var<3>; 3],
    y: Tensor<3>,
    backward: impl FnOnce([&Tensor<3>; 3], &Tensor<3>) -> [Tensor<3>; 3] + 'static,
) -> Var<3> {
    let (links, values) = (inputs.map(Var::link), inputs.map(|input| input.value().clone()));
    let [q, k, v] = inputs;
    Var::from_op(y, &[q, k, v], move |dy, gradients| {
        for (link, share) in links.iter().zip(backward(values.each_ref(), &dy)) {
            gradients.add(link, || share);
        }
    })
}

/// Whether heads of this width have a kernel on every GPU, which computes scores piece by piece and never holds all of them.
pub fn has_attention_kernel(head_width: usize) -> bool {
    wgsl::Attention::takes(head_width)
}

/// `[B, N, H d]` as `[B, H, N, d]`.
fn split(x: &Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, inner] = x.dims();
    x.clone().reshape([batch, length, heads, inner / heads]).permute([0, 2, 1, 3])
}

fn join(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, width] = x.dims();
    x.permute([0, 2, 1, 3]).reshape([batch, length, heads * width])
}

fn scale(q: &Tensor<3>, heads: usize) -> f64 {
    1.0 / ((q.dims()[2] / heads) as f64).sqrt()
}

fn probabilities(q: &Tensor<3>, k: &Tensor<3>, heads: usize, causal: bool) -> Tensor<4> {
    // q is scaled before the product so that scores stay in range for any width of a head.
    let scores = (split(q, heads) * scale(q, heads)).matmul(split(k, heads).swap_dims(2, 3));
    let scores = if causal { scores + causal_mask(q.dims()[1], k.dims()[1], &q.device()) } else { scores };
    softmax(scores, 3)
}

/// What is added to the score of a key that a query does not see.
const UNSEEN: f32 = -1e9;

/// Zero where a query may look, a large negative number elsewhere: `[1, 1, N, M]`.
fn causal_mask(queries: usize, keys: usize, device: &burn::tensor::Device) -> Tensor<4> {
    let entries: Vec<f32> = (0..queries * keys).map(|i| if i % keys <= i / keys { 0.0 } else { UNSEEN }).collect();
    Tensor::<1>::from_floats(entries.as_slice(), device).reshape([1, 1, queries, keys])
}

/// How many queries are taken at a time, where each is part of so many products: as many as a submission takes, and the
/// memory for their scores.
fn queries_at_once(q: &Tensor<3>, keys: usize, heads: usize, causal: bool, products: usize) -> usize {
    let [batch, queries, inner] = q.dims();
    // The mask would need to know which queries these are; prompts are too short to be cut.
    if causal {
        return queries;
    }
    let row = batch * heads * keys * size_of::<f32>();
    let operations = wgsl::operations(&[products, batch, queries, keys, inner]);
    parts_of_a_submission(q, operations, queries).min((SCORES_BYTES as usize / row).max(1))
}

/// Some rows `[B, N, C]` of each sample.
fn part_of(x: &Tensor<3>, rows: std::ops::Range<usize>) -> Tensor<3> {
    let [batch, ..] = x.dims();
    x.clone().slice([0..batch, rows])
}

fn reference(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let ([batch, queries, inner], keys) = (q.dims(), k.dims()[1]);
    let composed = |q: &Tensor<3>| {
        let operations = wgsl::operations(&[2, batch, q.dims()[1], keys, inner]);
        submit_before(q, "attention, composed", operations);
        join(probabilities(q, k, heads, causal).matmul(split(v, heads)))
    };
    let at_once = queries_at_once(q, keys, heads, causal, 2);
    if at_once >= queries {
        return composed(q);
    }
    let parts = (0..queries).step_by(at_once).map(|first| first..queries.min(first + at_once));
    Tensor::cat(parts.map(|part| composed(&part_of(q, part))).collect(), 1)
}

fn reference_backward([q, k, v]: [&Tensor<3>; 3], dy: &Tensor<3>, heads: usize, causal: bool) -> [Tensor<3>; 3] {
    let queries = q.dims()[1];
    let at_once = queries_at_once(q, k.dims()[1], heads, causal, 5);
    if at_once >= queries {
        return gradients([q, k, v], dy, heads, causal);
    }
    let mut to_queries = Vec::new();
    let mut others: Option<[Tensor<3>; 2]> = None;
    for first in (0..queries).step_by(at_once) {
        let [q, dy] = [q, dy].map(|x| part_of(x, first..queries.min(first + at_once)));
        let [dq, dk, dv] = gradients([&q, k, v], &dy, heads, causal);
        to_queries.push(dq);
        others = Some(match others {
            Some([keys, values]) => [keys + dk, values + dv],
            None => [dk, dv],
        });
    }
    let [dk, dv] = others.unwrap_or_else(|| [k, v].map(Tensor::zeros_like));
    [Tensor::cat(to_queries, 1), dk, dv]
}

/// The gradients of queries that are taken at once.
fn gradients([q, k, v]: [&Tensor<3>; 3], dy: &Tensor<3>, heads: usize, causal: bool) -> [Tensor<3>; 3] {
    let [batch, queries, inner] = q.dims();
    let operations = wgsl::operations(&[5, batch, queries, k.dims()[1], inner]);
    submit_before(q, "gradients of attention, composed", operations);
    let p = probabilities(q, k, heads, causal);
    let dy = split(dy, heads);
    let dv = p.clone().swap_dims(2, 3).matmul(dy.clone());
    let dp = dy.matmul(split(v, heads).swap_dims(2, 3));
    let inner = (p.clone() * dp.clone()).sum_dim(3);
    let ds = p * (dp - inner) * scale(q, heads);
    let dq = ds.clone().matmul(split(k, heads));
    let dk = ds.swap_dims(2, 3).matmul(split(q, heads));
    [dq, dk, dv].map(join)
}
