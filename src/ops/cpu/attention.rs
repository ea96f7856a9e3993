//! Scaled dot-product attention, one head at a time, without ever holding the scores of a whole head.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::gemm::{View, gemm};
use super::math::exp;
use super::{Slab, tensor, vectorised};

/// Queries whose scores are held at a time: keeps the block of scores in the second-level cache.
const QUERIES: usize = 128;

/// The sizes of an attention: samples, heads, queries, keys and the width of a head.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    causal: bool,
}

impl Sizes {
    fn of(q: &Tensor<3>, k: &Tensor<3>, heads: usize, causal: bool) -> Self {
        let [batch, queries, inner] = q.dims();
        Self { batch, heads, queries, keys: k.dims()[1], width: inner / heads, causal }
    }

    fn inner(self) -> usize {
        self.heads * self.width
    }

    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Where head `bh` (of all samples' heads) begins in a `[B, length, H * d]` slice.
    fn head(self, bh: usize, length: usize) -> View {
        let (b, h) = (bh / self.heads, bh % self.heads);
        View::rows(self.inner()).at(b * length * self.inner() + h * self.width)
    }

    /// Attention probabilities of `rows` queries from `first` on, into `scores`.
    fn probabilities(self, scores: &mut [f32], q: (&[f32], View), k: (&[f32], View), first: usize, rows: usize) {
        let q = (q.0, q.1.at(first * self.inner()));
        let k = (k.0, k.1.transposed());
        gemm([rows, self.keys, self.width], (scores, View::rows(self.keys)), false, q, k, self.scale(), false);
        vectorised(
            #[inline(always)]
            || {
                for (row, scores) in scores.chunks_exact_mut(self.keys).take(rows).enumerate() {
                    let seen = if self.causal { first + row + 1 } else { self.keys };
                    softmax(&mut scores[..seen]);
                    scores[seen..].fill(0.0);
                }
            },
        );
    }

    /// Runs `work` on every head and returns the results in order, in parallel if there is enough to do.
    fn for_heads<R: Send>(self, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        let heads = self.batch * self.heads;
        if heads * self.queries * self.keys * self.width < 64 * 1024 {
            (0..heads).map(work).collect()
        } else {
            (0..heads).into_par_iter().map(work).collect()
        }
    }

    /// Puts the heads' `[length, d]` results side by side: `[B, length, H * d]`.
    fn join(self, heads: &[&[f32]], length: usize) -> Tensor<3> {
        let mut out = vec![0.0; self.batch * length * self.inner()];
        for (bh, head) in heads.iter().enumerate() {
            let view = self.head(bh, length);
            for (row, values) in head.chunks_exact(self.width).enumerate() {
                out[view.offset + row * view.row..][..self.width].copy_from_slice(values);
            }
        }
        tensor(out, [self.batch, length, self.inner()])
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut most = [f32::NEG_INFINITY; 8];
    let mut chunks = scores.chunks_exact(8);
    for chunk in &mut chunks {
        for i in 0..8 {
            most[i] = most[i].max(chunk[i]);
        }
    }
    let most = chunks.remainder().iter().chain(&most).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    for score in scores.iter_mut() {
        *score = exp(*score - most);
    }
    let mut sums = [0.0f32; 8];
    let mut chunks = scores.chunks_exact(8);
    for chunk in &mut chunks {
        for i in 0..8 {
            sums[i] += chunk[i];
        }
    }
    let sum: f32 = chunks.remainder().iter().sum::<f32>() + sums.iter().sum::<f32>();
    let factor = 1.0 / sum;
    for score in scores.iter_mut() {
        *score *= factor;
    }
}

/// `softmax(q k^T / sqrt(d)) v` for each head of `q` `[B, N, H d]`, `k` and `v` `[B, M, H d]`.
pub(crate) fn attention(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let sizes = Sizes::of(q, k, heads, causal);
    let q: &[f32] = &Slab::of(q);
    let k: &[f32] = &Slab::of(k);
    let v: &[f32] = &Slab::of(v);
    let Sizes { queries, keys, width, .. } = sizes;
    let outputs = sizes.for_heads(|bh| {
        let (q, k, v) = ((q, sizes.head(bh, queries)), (k, sizes.head(bh, keys)), (v, sizes.head(bh, keys)));
        let mut out = vec![0.0; queries * width];
        let mut scores = vec![0.0; QUERIES.min(queries) * keys];
        for first in (0..queries).step_by(QUERIES) {
            let rows = QUERIES.min(queries - first);
            sizes.probabilities(&mut scores, q, k, first, rows);
            let out = (&mut out[first * width..], View::rows(width));
            gemm([rows, width, keys], out, false, (&scores, View::rows(keys)), v, 1.0, false);
        }
        out
    });
    let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
    sizes.join(&outputs, queries)
}

/// The gradients to `q`, `k` and `v`, with the probabilities computed again.
pub(crate) fn attention_backward(
    [q, k, v]: [&Tensor<3>; 3],
    dy: &Tensor<3>,
    heads: usize,
    causal: bool,
) -> [Tensor<3>; 3] {
    let sizes = Sizes::of(q, k, heads, causal);
    let q: &[f32] = &Slab::of(q);
    let k: &[f32] = &Slab::of(k);
    let v: &[f32] = &Slab::of(v);
    let dy: &[f32] = &Slab::of(dy);
    let Sizes { queries, keys, width, .. } = sizes;
    let gradients = sizes.for_heads(|bh| {
        let (q, k, v, dy) = (
            (q, sizes.head(bh, queries)),
            (k, sizes.head(bh, keys)),
            (v, sizes.head(bh, keys)),
            (dy, sizes.head(bh, queries)),
        );
        let mut dq = vec![0.0; queries * width];
        let (mut dk, mut dv) = (vec![0.0; keys * width], vec![0.0; keys * width]);
        let block = QUERIES.min(queries) * keys;
        let (mut p, mut ds) = (vec![0.0; block], vec![0.0; block]);
        for first in (0..queries).step_by(QUERIES) {
            let rows = QUERIES.min(queries - first);
            sizes.probabilities(&mut p, q, k, first, rows);
            let dy = (dy.0, dy.1.at(first * sizes.inner()));
            let by_key = View::rows(keys).transposed();
            // dv += p^T dy; dp = dy v^T; ds = p (dp - sum(p dp)).
            gemm([keys, width, rows], (&mut dv, View::rows(width)), first > 0, (&p, by_key), dy, 1.0, false);
            let v = (v.0, v.1.transposed());
            gemm([rows, keys, width], (&mut ds, View::rows(keys)), false, dy, v, 1.0, false);
            vectorised(
                #[inline(always)]
                || softmax_backward(&p[..rows * keys], &mut ds[..rows * keys], keys),
            );
            // dq = ds k / sqrt(d); dk += ds^T q / sqrt(d).
            let dq = (&mut dq[first * width..], View::rows(width));
            gemm([rows, width, keys], dq, false, (&ds, View::rows(keys)), k, sizes.scale(), false);
            let q = (q.0, q.1.at(first * sizes.inner()));
            gemm([keys, width, rows], (&mut dk, View::rows(width)), first > 0, (&ds, by_key), q, sizes.scale(), false);
        }
        [dq, dk, dv]
    });
    let part = |i: usize, length: usize| {
        let heads: Vec<&[f32]> = gradients.iter().map(|head| head[i].as_slice()).collect();
        sizes.join(&heads, length)
    };
    [part(0, queries), part(1, keys), part(2, keys)]
}

/// Turns gradients to probabilities into gradients to scores, row by row.
#[inline(always)]
fn softmax_backward(p: &[f32], ds: &mut [f32], keys: usize) {
    for (p, ds) in p.chunks_exact(keys).zip(ds.chunks_exact_mut(keys)) {
        let mut sums = [0.0f32; 8];
        let (mut a, mut b) = (p.chunks_exact(8), ds.chunks_exact(8));
        for (p, ds) in (&mut a).zip(&mut b) {
            for i in 0..8 {
                sums[i] += p[i] * ds[i];
            }
        }
        let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(p, ds)| p * ds).sum();
        let inner = rest + sums.iter().sum::<f32>();
        for (ds, &p) in ds.iter_mut().zip(p) {
            *ds = p * (*ds - inner);
        }
    }
}
