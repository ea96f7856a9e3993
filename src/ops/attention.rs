//! Scaled dot-product attention.

use burn::tensor::{Tensor, activation::softmax};

use super::Var;

/// `softmax(q k^T / sqrt(d)) v` in each of `heads` heads, for `q` `[B, N, H d]`, `k` and `v` `[B, M, H d]`: `[B, N, H d]`.
///
/// With `causal`, a query sees the keys up to its own position. Probabilities are computed again in the backward pass, so
/// only the inputs are kept (and, on wgpu, the result and a number for each query).
pub fn attention(q: &Var<3>, k: &Var<3>, v: &Var<3>, heads: usize, causal: bool) -> Var<3> {
    let links = [q.link(), k.link(), v.link()];
    let values = [q, k, v].map(|x| x.value().clone());
    if super::on_wgpu(q.value())
        && let Some(kernels) = super::wgsl::Attention::pays(q.value(), k.value(), heads, causal)
    {
        let (y, logsumexp) = kernels.forward(q.value(), k.value(), v.value());
        return Var::from_op(y.clone(), &[q, k, v], move |dy, gradients| {
            let [q, k, v] = &values;
            for (link, share) in links.iter().zip(kernels.backward([q, k, v], (&y, &logsumexp), &dy)) {
                gradients.add(link, || share);
            }
        });
    }
    let (forward, backward) = kernel(q.value());
    let y = forward(q.value(), k.value(), v.value(), heads, causal);
    Var::from_op(y, &[q, k, v], move |dy, gradients| {
        let [q, k, v] = &values;
        for (link, share) in links.iter().zip(backward([q, k, v], &dy, heads, causal)) {
            gradients.add(link, || share);
        }
    })
}

/// Whether heads of this width have a kernel on GPUs, which computes scores piece by piece and never holds all of them.
pub fn has_attention_kernel(head_width: usize) -> bool {
    super::wgsl::Attention::takes(head_width)
}

type Forward = fn(&Tensor<3>, &Tensor<3>, &Tensor<3>, usize, bool) -> Tensor<3>;
type Backward = fn([&Tensor<3>; 3], &Tensor<3>, usize, bool) -> [Tensor<3>; 3];

fn kernel(_q: &Tensor<3>) -> (Forward, Backward) {
    #[cfg(not(target_family = "wasm"))]
    if super::on_cpu(_q) {
        return (super::cpu::attention, super::cpu::attention_backward);
    }
    (reference, reference_backward)
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
    // q is scaled before the product so that scores stay in range whatever the width of a head.
    let scores = (split(q, heads) * scale(q, heads)).matmul(split(k, heads).swap_dims(2, 3));
    let scores = match causal {
        true => scores + causal_mask(q.dims()[1], k.dims()[1], &q.device()),
        false => scores,
    };
    softmax(scores, 3)
}

/// Zero where a query may look, a large negative number elsewhere: `[1, 1, N, M]`.
fn causal_mask(queries: usize, keys: usize, device: &burn::tensor::Device) -> Tensor<4> {
    let entries: Vec<f32> = (0..queries * keys).map(|i| if i % keys <= i / keys { 0.0 } else { -1e9 }).collect();
    Tensor::<1>::from_floats(entries.as_slice(), device).reshape([1, 1, queries, keys])
}

fn reference(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let ([batch, queries, inner], keys) = (q.dims(), k.dims()[1]);
    let operations = |queries| super::wgsl::operations(&[2, batch, queries, keys, inner]);
    let composed = |q: &Tensor<3>| {
        super::wgsl::before(q, "attention, composed", operations(q.dims()[1]));
        join(probabilities(q, k, heads, causal).matmul(split(v, heads)))
    };
    let at_once = super::wgsl::at_once(q, operations(queries), queries);
    // The mask would need to know which queries these are; prompts are too short to be cut.
    if causal || at_once == queries {
        return composed(q);
    }
    let parts = (0..queries).step_by(at_once).map(|first| first..queries.min(first + at_once));
    Tensor::cat(parts.map(|part| composed(&q.clone().slice([0..batch, part]))).collect(), 1)
}

fn reference_backward([q, k, v]: [&Tensor<3>; 3], dy: &Tensor<3>, heads: usize, causal: bool) -> [Tensor<3>; 3] {
    let [batch, queries, inner] = q.dims();
    let operations = super::wgsl::operations(&[5, batch, queries, k.dims()[1], inner]);
    super::wgsl::before(q, "gradients of attention, composed", operations);
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
