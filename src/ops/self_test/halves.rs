//! Whether a device computes what it should in f16: the products and their gradients, in every tile of a way to make them, and
//! attention, where it is made so, on numbers that f16 has and on numbers that it does not.

use burn::tensor::{Device, Tensor};

use super::{Case, Kept, Sizes, dot, judged, larger, launched};
use crate::Result;
use crate::ops::{HalfProducts, Var, attention, with_half_products};

/// More than any tile has in a row, and a multiple of none.
const OUTPUTS: usize = 140;

const CASES: [Case; 7] = [
    linear!("linear layers", [1, 150, 68], Kept::Half, OUTPUTS),
    convolution!("convolutions", [13, 11, 20], Kept::Half, 1, 76),
    convolution!("convolutions of every other pixel", [14, 11, 36], Kept::Half, 2, 36),
    gated!("gated layers behind a normalisation", [1, 150, 68], Kept::Half),
    block!("attention and layers behind normalisations", [1, 70, 40], Kept::Half),
    // What else is fused reads weights in eight bits by the same code as these.
    linear!("linear layers in eight bits", [1, 150, 96], Kept::EightBits, OUTPUTS),
    convolution!("convolutions in eight bits", [13, 11, 32], Kept::EightBits, 1, 76),
];

/// Every width that kernels are made for, each with sizes that no tile has.
const ATTENTIONS: [Case; 9] = [
    Case {
        name: "attention of heads of 16 to a few of the pixels",
        shape: [1, 70, 32],
        op: |x, _| attention_to(x, 2, FEW, 0.0),
        by_hand: |x, shape| attention_to_by_hand(x, shape, 2, FEW, 0.0),
    },
    self_attention!("attention of heads of 32", [1, 65, 32], 1, true),
    self_attention!("attention of heads of 40", [1, 70, 80], 2, false),
    Case {
        name: "attention of heads of 40 with small scores",
        shape: [1, 70, 40],
        op: |x, _| attention_to(x, 1, 70, APART),
        by_hand: |x, shape| attention_to_by_hand(x, shape, 1, 70, APART),
    },
    self_attention!("attention of heads of 64", [1, 130, 128], 2, true),
    self_attention!("attention of heads of 80", [1, 67, 80], 1, false),
    self_attention!("attention of heads of 96", [1, 66, 96], 1, true),
    Case {
        name: "attention of heads of 128 to a few of the pixels",
        shape: [1, 67, 128],
        op: |x, _| attention_to(x, 1, FEW, 0.0),
        by_hand: |x, shape| attention_to_by_hand(x, shape, 1, FEW, 0.0),
    },
    self_attention!("attention of heads of 160", [1, 66, 160], 1, true),
];

/// Keys that are fewer than queries.
const FEW: usize = 21;

/// By how much queries are larger, and keys smaller, where scores are to be small: they are all near the negative square of
/// this, times the root of a head's width.
const APART: f64 = 2.2;

/// An attention of the pixels to the first of them, with `apart` added to queries and taken from keys.
fn attention_to(x: &Var<4>, heads: usize, keys: usize, apart: f64) -> Var<4> {
    let dims @ [batch, height, width, channels] = x.dims();
    let moved = |by: f64| {
        let shift = Tensor::full([batch, channels], by as f32, &x.value().device());
        x.shift_channels(shift).reshape([batch, height * width, channels])
    };
    let (q, k, v) = (moved(apart), first_rows(&moved(-apart), keys), first_rows(&moved(0.0), keys));
    attention(&q, &k, &v, heads, false).reshape(dims)
}

fn first_rows(x: &Var<3>, count: usize) -> Var<3> {
    let ([batch, rows, channels], link) = (x.dims(), x.link());
    Var::from_op(x.value().clone().narrow(1, 0, count), &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let rest = Tensor::zeros([batch, rows - count, channels], &dy.device());
            if count < rows { Tensor::cat(vec![dy, rest], 1) } else { dy }
        });
    })
}

fn attention_to_by_hand(
    x: &[f64],
    [height, width, channels]: [usize; 3],
    heads: usize,
    keys: usize,
    apart: f64,
) -> Vec<f64> {
    let (length, head_width) = (height * width, channels / heads);
    let part = |at: usize, head: usize, by: f64| {
        x[at * channels + head * head_width..][..head_width].iter().map(|x| x + by).collect::<Vec<f64>>()
    };
    let score = |at: usize, key: usize, head: usize| {
        dot(&part(at, head, apart), &part(key, head, -apart)) / (head_width as f64).sqrt()
    };
    let mut y = Vec::with_capacity(x.len());
    for (at, head) in (0..length).flat_map(|at| (0..heads).map(move |head| (at, head))) {
        let scores: Vec<f64> = (0..keys).map(|key| score(at, key, head).exp()).collect();
        let sum: f64 = scores.iter().sum();
        let value = |i: usize| (0..keys).map(|key| scores[key] / sum * part(key, head, 0.0)[i]).sum::<f64>();
        y.extend((0..head_width).map(value));
    }
    y
}

/// What f16 explains: half a unit in its eleventh binary digit, in each of two factors. Where all keys have much in common, which
/// a softmax does not see, gradients to queries are the small differences of products with that, and may be off by more: by
/// a hundredth of the largest where it makes scores of -30, by a twentieth with -130.
const TOLERANCE: f64 = 2e-3;

/// Numbers that f16 has; then activations beyond its largest and gradients below its smallest.
const SIZES: [Sizes; 2] = [Sizes { input: 1.0, cotangent: 1.0 }, Sizes { input: 1e6, cotangent: 1e-9 }];

/// The same for attention, where squares of what comes in must not be beyond what exponentials can have.
const ATTENTION_SIZES: [Sizes; 2] = [Sizes { input: 1.0, cotangent: 1.0 }, Sizes { input: 0.7, cotangent: 1e-9 }];

/// Tests one way to make products in f16 on a device: the largest difference from loops on the host, relative to the
/// largest value, or which ops are wrong. It ends with the first tile that is, and where the first op already is, with that: the
/// kernels of one op in one tile take some compilers seconds, and a way that is wrong somewhere is not taken.
///
/// # Errors
/// Those of [`crate::ops::read`], where the device fails during it.
pub async fn half_self_test(device: &Device, products: HalfProducts) -> Result<std::result::Result<f64, Vec<String>>> {
    let tiles = (0..HalfProducts::TILES).flat_map(|tile| SIZES.map(|sizes| (Some(tile), &CASES[..], sizes)));
    let attentions = ATTENTION_SIZES.map(|sizes| (None, &ATTENTIONS[..], sizes));
    let attentions = attentions.into_iter().filter(|_| matches!(products, HalfProducts::Matrices { .. }));
    let mut worst = 0.0;
    for (tile, cases, sizes) in tiles.chain(attentions) {
        let (first, others) = cases.split_at(1);
        for cases in [first, others] {
            let launched = with_half_products(products, tile, || launched(device, cases, sizes))?;
            match judged(launched, TOLERANCE).await? {
                Ok(off) => worst = larger(worst, off),
                wrong => return Ok(wrong),
            }
        }
    }
    Ok(Ok(worst))
}
